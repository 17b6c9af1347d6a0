"""The contract of the storage port, held by the embedded engine in real worker processes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.contract.vector_store_suite import VectorStoreSuite

from trunkline_retrieval.embedded_store import EmbeddedStore
from trunkline_retrieval.engine.config import EngineConfig


@pytest.fixture(scope="module")
async def store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedStore]:
    """Give a store over an empty directory, with two workers, so that collections fall to either."""
    store = await EmbeddedStore.open(EngineConfig(str(tmp_path_factory.mktemp("engine")), min_free_bytes=0), 2)
    yield store
    await store.close()


class TestEmbeddedStore(VectorStoreSuite):
    """The adapter over the engine."""
