"""The process's own cache of vectors."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trunkline_inference.local_vectors import ENTRY_OVERHEAD_BYTES, LocalVectors
from trunkline_inference.models import InputKind
from trunkline_inference.ports import VectorKey

KEYS = [VectorKey("acme", "m", "1", InputKind.QUERY, bytes([n])) for n in range(12)]
ROOM = 4 * (100 + ENTRY_OVERHEAD_BYTES)


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.binary(min_size=1, max_size=100)), max_size=60))
def test_it_never_holds_more_than_its_size_and_always_the_newest(puts: list[tuple[VectorKey, bytes]]) -> None:
    """Whatever is stored in whatever order, the bound holds, the account is exact and the last value is there."""
    cache = LocalVectors(max_bytes=ROOM)
    held: dict[VectorKey, bytes] = {}
    for key, data in puts:
        cache.put(key, data)
        held[key] = data

        assert cache.get(key) == data
        assert cache.size_bytes <= ROOM
    kept = {key: value for key in KEYS if (value := cache.get(key)) is not None}

    assert kept.items() <= held.items()
    assert sum(len(value) + ENTRY_OVERHEAD_BYTES for value in kept.values()) == cache.size_bytes
    assert len(kept) == len(cache)


def test_what_was_used_last_goes_last() -> None:
    """A vector that was read stays when room is made."""
    cache = LocalVectors(max_bytes=2 * (10 + ENTRY_OVERHEAD_BYTES))
    cache.put(KEYS[0], bytes(10))
    cache.put(KEYS[1], bytes(10))
    cache.get(KEYS[0])
    cache.put(KEYS[2], bytes(10))

    assert cache.get(KEYS[1]) is None
    assert cache.get(KEYS[0]) == bytes(10)


def test_a_vector_larger_than_the_cache_is_not_kept() -> None:
    """It does not stay, and the account returns to zero."""
    cache = LocalVectors(max_bytes=100)
    cache.put(KEYS[0], bytes(200))

    assert cache.get(KEYS[0]) is None
    assert cache.size_bytes == 0
