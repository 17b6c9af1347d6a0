"""Which worker owns what."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline_retrieval.engine.placing import worker_of


@settings(deadline=None)  # time decides nothing here
@given(st.text(), st.integers(1, 64))
def test_owner_is_one_of_the_workers(name: str, workers: int) -> None:
    """Every name has an owner, the same one each time."""
    assert 0 <= worker_of(name, workers) < workers
    assert worker_of(name, workers) == worker_of(name, workers)


def test_owner_does_not_depend_on_the_process() -> None:
    """The hash is not Python's own, which differs from process to process."""
    assert [worker_of(f"shard_minilm_{number}", 4) for number in range(6)] == [3, 1, 3, 1, 2, 0]


def test_names_are_spread() -> None:
    """No worker gets much more than its part."""
    counts = Counter(worker_of(f"c_tenant-{number}_docs", 4) for number in range(4_000))

    assert max(counts.values()) < 1_200
