"""The breaker around a store that is reached over a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from tests.unit.retrieval.test_use_cases import RecordingStore, soon

from trunkline_mesh.breaker import Breaker
from trunkline_mesh.breaker_policy import STORE_POLICY
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendUnavailable, CircuitOpen, DomainError, SpaceMismatch
from trunkline_retrieval.guarded_store import GuardedStore
from trunkline_retrieval.model import CollectionRef, FoundDocument, Scope, SearchMode, StoreQuery

REF = CollectionRef(Scope("acme", "docs"), "c_acme_docs", "minilm", 1)
QUERY = StoreQuery(SearchMode.DENSE, 1, vector=np.ones(1, dtype=np.float32))


class FailingStore(RecordingStore):
    """A store whose searches fail."""

    def __init__(self, error: DomainError) -> None:
        super().__init__()
        self.error = error
        self.asked = 0

    async def search(self, ref: CollectionRef, query: StoreQuery, deadline: Deadline) -> Sequence[FoundDocument]:
        self.asked += 1
        raise self.error


def guard(store: RecordingStore) -> GuardedStore:
    """Put a store behind breakers of the store's policy."""
    return GuardedStore(store, lambda method: Breaker(f"test/{method}", STORE_POLICY))


async def test_failing_store_is_rested() -> None:
    """After enough failures searches are refused without asking the store, while writes go on."""
    store = FailingStore(BackendUnavailable())
    guarded = guard(store)
    for _ in range(5):
        with pytest.raises(BackendUnavailable):
            await guarded.search(REF, QUERY, soon())

    with pytest.raises(CircuitOpen):
        await guarded.search(REF, QUERY, soon())
    assert store.asked == 5
    await guarded.ensure_collection(REF, soon())
    assert store.calls == [("ensure", REF)]


async def test_joint_searches_share_the_breaker_of_searches() -> None:
    """They ask the same thing of the same store."""
    store = FailingStore(BackendUnavailable())
    guarded = guard(store)
    for _ in range(5):
        with pytest.raises(BackendUnavailable):
            await guarded.search_many([REF], QUERY, soon())

    with pytest.raises(CircuitOpen):
        await guarded.search(REF, QUERY, soon())


async def test_callers_faults_open_nothing() -> None:
    """Refusals that are the caller's fault say nothing about the store."""
    store = FailingStore(SpaceMismatch())
    guarded = guard(store)

    for _ in range(40):
        with pytest.raises(SpaceMismatch):
            await guarded.search(REF, QUERY, soon())

    assert store.asked == 40
