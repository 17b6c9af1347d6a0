"""The contract of the storage port, held by the Qdrant adapter.

Without a server the client library's local mode stands in: it checks the shape of the calls, not a server's speed or
durability. With TRUNKLINE_TEST_QDRANT_URL the suite runs against that server too; its collections get random names
and stay there.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Final

import pytest
from qdrant_client import AsyncQdrantClient
from tests.contract.vector_store_suite import VectorStoreSuite

from trunkline_retrieval.qdrant_store import QdrantStore

LOCAL: Final = ":memory:"
SERVER_URL: Final = os.environ.get("TRUNKLINE_TEST_QDRANT_URL", "")


@pytest.fixture(scope="module", params=[url for url in (LOCAL, SERVER_URL) if url])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[QdrantStore]:
    """Give a store in this process's memory, and one on the server if there is one."""
    if request.param == LOCAL:
        store = await QdrantStore.over(AsyncQdrantClient(LOCAL))
    else:
        store = await QdrantStore.open(request.param)
    yield store
    await store.close()


# Local mode says on each creation that it keeps no payload index; nothing is to be done about that.
@pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")
class TestQdrantStore(VectorStoreSuite):
    """The adapter over qdrant-client."""
