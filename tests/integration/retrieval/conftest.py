"""Stores over real worker processes, closed at the end of each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from trunkline_retrieval.embedded_store import EmbeddedBounds, EmbeddedStore
from trunkline_retrieval.engine.config import EngineConfig

OpenStore = Callable[..., Awaitable[EmbeddedStore]]


@pytest.fixture
async def open_store(tmp_path: Path) -> AsyncIterator[OpenStore]:
    """Open embedded stores over the test's directory; keyword arguments are of EngineConfig."""
    async with AsyncExitStack() as opened:

        async def open_one(workers: int = 1, bounds: EmbeddedBounds | None = None, **config: Any) -> EmbeddedStore:
            settings = EngineConfig(str(tmp_path / "data"), **({"min_free_bytes": 0} | config))
            store = await EmbeddedStore.open(settings, workers, bounds)
            opened.push_async_callback(store.close)
            return store

        yield open_one
