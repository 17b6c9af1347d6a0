"""Waiting for the journal no longer than a request has time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendTimeout


async def within_time(kept: Coroutine[Any, Any, None], deadline: Deadline) -> None:
    """Await that something is kept; raise BackendTimeout if it is not in time: it may then be kept all the same."""
    try:
        async with asyncio.timeout(deadline.remaining_s()):
            await kept
    except TimeoutError as exc:
        raise BackendTimeout("feedback could not be kept in time") from exc
