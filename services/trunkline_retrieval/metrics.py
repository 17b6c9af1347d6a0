"""What the service tells Prometheus of its store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from trunkline_mesh.metrics import gauge
from trunkline_retrieval.store import VectorStore

_PRESSURE: Final = gauge("retrieval_store_pressure", "Work under way in the store as a share of what is accepted.")
_FREE_BYTES: Final = gauge("retrieval_store_free_bytes", "Room for writes above the reserve; -1 if it is not known.")


@contextmanager
def observed(store: VectorStore) -> Iterator[None]:
    """Tell the store's usage at each scrape, for the duration of the context."""

    def free_bytes() -> float:
        free = store.usage().free_bytes
        return -1.0 if free is None else float(free)

    _PRESSURE.set_function(lambda: store.usage().pressure)
    _FREE_BYTES.set_function(free_bytes)
    try:
        yield
    finally:
        _PRESSURE.set_function(lambda: 0.0)
        _FREE_BYTES.set_function(lambda: -1.0)
