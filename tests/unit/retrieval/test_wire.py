"""Frames between the service and its workers."""

from __future__ import annotations

import struct
from array import array
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trunkline_retrieval.engine.wire import MAX_FRAME_BYTES, FrameError, FrameReader, pack_frame, unpack

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
MESSAGES = st.lists(
    st.recursive(SCALARS | st.binary(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
)


@settings(deadline=None)  # time decides nothing here
@given(st.lists(MESSAGES, max_size=6), st.lists(st.integers(1, 40), max_size=30))
def test_messages_survive_any_cut(messages: list[Any], cuts: list[int]) -> None:
    """Messages come out whole and in order, however the stream is cut into reads."""
    stream = b"".join(pack_frame(message) for message in messages)
    reader = FrameReader()
    read: list[Any] = []
    for cut in cuts:
        read += [unpack(body) for body in reader.feed(stream[:cut])]
        stream = stream[cut:]
    read += [unpack(body) for body in reader.feed(stream)]

    assert read == messages


def test_vectors_travel_as_raw_floats() -> None:
    """Float32 bytes come out bit for bit."""
    numbers = array("f", [0.1, -0.0, 3.4e38, 1e-45])

    (body,) = FrameReader().feed(pack_frame(numbers.tobytes()))

    assert array("f", unpack(body)).tobytes() == numbers.tobytes()


def test_oversized_frames_are_refused_both_ways() -> None:
    """A frame over the limit is neither made nor waited for."""
    with pytest.raises(FrameError):
        pack_frame(b"x" * (MAX_FRAME_BYTES + 1))
    with pytest.raises(FrameError):
        FrameReader().feed(struct.pack("<I", MAX_FRAME_BYTES + 1))


@settings(deadline=None)  # time decides nothing here
@given(st.binary(max_size=64))
@example(b"\x82\x00\x00\x80\x00")  # a map as the key of a map
def test_garbage_is_a_frame_error_or_a_message(garbage: bytes) -> None:
    """Whatever a frame holds, reading it raises nothing but FrameError."""
    framed = struct.pack("<I", len(garbage)) + garbage
    for body in FrameReader().feed(framed):
        try:
            unpack(body)
        except FrameError:
            continue
