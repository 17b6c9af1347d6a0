"""The messages between the service and its workers: msgpack in length-prefixed frames.

A request is `[id, op, deadline, body]`, its answer `[id, fault, body]`; every request gets exactly one answer. The
deadline is a value of `time.monotonic()`, whose zero all processes of a machine share. A cancellation is
`[id, Op.CANCEL, 0, None]` with the id of the request that nobody waits for any more and has no answer of its own.
Answers with id 0 are notices. Both ends are always of one version: the service starts its own workers.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any, Final

import msgpack

MAX_FRAME_BYTES: Final = 64 << 20
"""Largest frame of either direction: 200 documents at the contracts' bounds need less."""

_LENGTH: Final = struct.Struct("<I")


class Op(IntEnum):
    """What a request asks for. Its body is the named tuple of the same name in `requests`."""

    CANCEL = 0
    ENSURE = 1
    UPSERT = 2
    DELETE = 3
    SEARCH = 4
    SCROLL = 5
    COUNT = 6


class Notice(IntEnum):
    """What a worker tells unasked."""

    READY = 1
    """It has started and takes requests."""
    BUSY = 2
    """It is about to do one thing for long (loading a collection, building an index) and answers nothing meanwhile."""
    IDLE = 3
    """It answers again."""


class FrameError(Exception):
    """The peer sent what is no frame: a defect, after which the connection is useless."""


def pack_frame(message: Any) -> bytes:
    """Return the frame of a message; raise FrameError if it is larger than MAX_FRAME_BYTES."""
    body: bytes = msgpack.packb(message)
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {len(body)} bytes is over the limit")
    return _LENGTH.pack(len(body)) + body


class FrameReader:
    """Cuts a stream of bytes into the bodies of frames. Holds at most one unfinished frame."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the bodies that `data` completes, in order; raise FrameError for what cannot be a frame."""
        buffer = self._buffer
        buffer += data
        bodies: list[bytes] = []
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > MAX_FRAME_BYTES:
                raise FrameError(f"a frame of {length} bytes is announced")
            end = start + _LENGTH.size + length
            if len(buffer) < end:
                break
            bodies.append(bytes(buffer[start + _LENGTH.size : end]))
            start = end
        if start:
            del buffer[:start]
        return bodies


def unpack(body: bytes) -> Any:
    """Return the message in a frame's body; raise FrameError for what is none."""
    try:
        return msgpack.unpackb(body, strict_map_key=False)
    except (ValueError, TypeError) as exc:  # msgpack's own are ValueErrors; a map as a key is a TypeError
        raise FrameError("a frame holds no msgpack") from exc
