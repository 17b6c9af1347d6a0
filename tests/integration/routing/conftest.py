"""Front doors: one that a module shares, and fresh ones for tests that break things."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import AsyncExitStack
from typing import Any

import pytest
import structlog
from tests.integration.routing.front_door import FrontDoor, open_front_door

OpenFrontDoor = Callable[..., Awaitable[FrontDoor]]


@pytest.fixture(scope="module")
async def front_door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FrontDoor]:
    """A front door in the EU that nothing breaks."""
    async with open_front_door(tmp_path_factory.mktemp("identity")) as opened:
        yield opened


@pytest.fixture
async def fresh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OpenFrontDoor]:
    """Open front doors of a test's own; keyword arguments are the region and settings."""
    async with AsyncExitStack() as stack:

        async def opened(**options: Any) -> FrontDoor:
            return await stack.enter_async_context(open_front_door(tmp_path_factory.mktemp("identity"), **options))

        yield opened


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[list[MutableMapping[str, Any]]]:
    """What this process logs during the test: its own events, and those of libraries from warnings on."""
    with structlog.testing.capture_logs() as events:
        yield events
    events.extend(
        {"event": record.getMessage(), "log_level": record.levelname.lower(), "exc_info": record.exc_info}
        for record in caplog.records
        if record.levelno >= logging.WARNING
    )
