"""Free ports."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline_local.errors import PortsExhaustedError
from trunkline_local.ports import BLOCK_SIZE, BLOCKS, FIRST_PORT, HOST, LAST_PORT, PortAllocator, is_free


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(takers=st.lists(st.integers(0, 3), min_size=1, max_size=3 * BLOCK_SIZE))
def test_never_gives_a_port_twice(tmp_path: Path, takers: list[int]) -> None:
    """Any interleaving of allocators gives distinct ports inside the stated range."""
    allocators = [PortAllocator(tmp_path) for _ in range(4)]
    try:
        ports = [allocators[taker].take() for taker in takers]
    finally:
        for allocator in allocators:
            allocator.close()
    assert len(set(ports)) == len(ports)
    assert all(FIRST_PORT <= port <= LAST_PORT for port in ports)


def test_passes_over_a_port_that_somebody_has(tmp_path: Path) -> None:
    """A port with a listener is not given."""
    allocator = PortAllocator(tmp_path)
    try:
        first = allocator.take()
        with socket.create_server((HOST, first + 1)):
            assert not is_free(first + 1)
            assert allocator.take() != first + 1
    finally:
        allocator.close()


def test_says_when_nothing_is_left(tmp_path: Path) -> None:
    """With all blocks locked by others the answer is an error, not a shared port."""
    greedy, late = PortAllocator(tmp_path), PortAllocator(tmp_path)
    try:
        for _ in range(BLOCKS):
            greedy._lock_block()
        with pytest.raises(PortsExhaustedError):
            late.take()
        greedy.close()
        assert late.take()
    finally:
        greedy.close()
        late.close()
