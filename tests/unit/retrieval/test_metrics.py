"""What Prometheus is told of the store."""

from __future__ import annotations

from prometheus_client import REGISTRY
from tests.unit.retrieval.test_use_cases import RecordingStore

from trunkline_retrieval.metrics import observed
from trunkline_retrieval.store import StoreUsage


def sample(name: str) -> float | None:
    """Return a metric's present value."""
    return REGISTRY.get_sample_value(f"trunkline_retrieval_store_{name}")


def test_usage_is_told_while_the_store_is_open() -> None:
    """A scrape reads the store as it is then, and nothing of it once it is closed."""

    class BusyStore(RecordingStore):
        def usage(self) -> StoreUsage:
            return StoreUsage(free_bytes=1024, pressure=0.5)

    with observed(BusyStore()):
        assert (sample("pressure"), sample("free_bytes")) == (0.5, 1024.0)

    assert (sample("pressure"), sample("free_bytes")) == (0.0, -1.0)
