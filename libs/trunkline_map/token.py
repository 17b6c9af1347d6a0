"""Map tokens: opaque to callers, {epoch, revision} to us. They name a state of the map that an answer must reflect."""

from __future__ import annotations

from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from trunkline.storage.v1 import map_records_pb2 as storage_pb
from trunkline_mesh.errors import MapTokenInvalid

EPOCH_BYTES: Final = 8
"""Length of an epoch."""

MAX_TOKEN_BYTES: Final = 64
"""Bound of the contracts; longer ones are refused unread."""


class MapToken(NamedTuple):
    """A state of the map."""

    epoch: bytes
    revision: int


def encode(epoch: bytes, revision: int) -> bytes:
    """Return the token of a state. Raises ValueError for an epoch or a revision that no map has."""
    if len(epoch) != EPOCH_BYTES or revision < 1:
        raise ValueError("a token needs an epoch of 8 bytes and a revision of at least 1")
    return storage_pb.MapTokenRecord(epoch=epoch, revision=revision).SerializeToString()


def decode(token: bytes) -> MapToken:
    """Return the state that a token names; raise MapTokenInvalid for anything that is none.

    Fields that a later version adds are ignored, so tokens survive a rolling upgrade.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise MapTokenInvalid
    try:
        record = storage_pb.MapTokenRecord.FromString(token)
    except DecodeError as exc:
        raise MapTokenInvalid from exc
    if len(record.epoch) != EPOCH_BYTES or record.revision < 1:
        raise MapTokenInvalid
    return MapToken(record.epoch, record.revision)
