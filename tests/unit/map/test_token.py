"""Map tokens name a state, and nothing else passes for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.storage.v1 import map_records_pb2 as storage_pb
from trunkline_map.token import MAX_TOKEN_BYTES, MapToken, decode, encode
from trunkline_mesh.errors import MapTokenInvalid

EPOCHS = st.binary(min_size=8, max_size=8)


@given(EPOCHS, st.integers(1, 2**63 - 1))
def test_a_token_gives_back_its_state(epoch: bytes, revision: int) -> None:
    """Encoding and decoding is the identity, within the contracts' bound."""
    token = encode(epoch, revision)

    assert len(token) <= MAX_TOKEN_BYTES
    assert decode(token) == MapToken(epoch, revision)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_token_or_refused(data: bytes) -> None:
    """Garbage raises MapTokenInvalid and nothing else."""
    try:
        token = decode(data)
    except MapTokenInvalid:
        return
    assert len(token.epoch) == 8
    assert token.revision >= 1


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"\xff\xff",
        b"hello",
        storage_pb.MapTokenRecord(epoch=b"12345678").SerializeToString(),
        storage_pb.MapTokenRecord(epoch=b"12345678", revision=-1).SerializeToString(),
        storage_pb.MapTokenRecord(epoch=b"1234567", revision=1).SerializeToString(),
        storage_pb.MapTokenRecord(revision=1).SerializeToString(),
        storage_pb.MapTokenRecord(epoch=b"12345678" * 10, revision=1).SerializeToString(),
    ],
)
def test_what_is_no_token_is_refused(token: bytes) -> None:
    """Missing parts, wrong sizes and other bytes are refused alike."""
    with pytest.raises(MapTokenInvalid):
        decode(token)


def test_a_field_of_a_later_version_is_ignored() -> None:
    """Tokens of a newer server pass an older one while both run."""
    assert decode(encode(b"12345678", 7) + b"\x78\x01") == MapToken(b"12345678", 7)


@pytest.mark.parametrize(("epoch", "revision"), [(b"", 1), (b"123456789", 1), (b"12345678", 0)])
def test_no_token_is_made_of_a_state_that_no_map_has(epoch: bytes, revision: int) -> None:
    """A token without epoch or revision would be refused everywhere, so it is a defect to make one."""
    with pytest.raises(ValueError, match="epoch"):
        encode(epoch, revision)
