"""Composition root: the role decides what this process is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from trunkline_mesh.app import MeshApp
from trunkline_routing.control.app import open_control
from trunkline_routing.edge.app import open_edge
from trunkline_routing.settings import RoutingSettings


@asynccontextmanager
async def open_app(settings: RoutingSettings) -> AsyncIterator[MeshApp]:
    """Open the role that the settings name."""
    opened = {"edge": open_edge, "control": open_control, "learner": _open_learner}[settings.role]
    async with opened(settings) as app:
        yield app


def _open_learner(settings: RoutingSettings) -> AbstractAsyncContextManager[MeshApp]:
    # Loaded by learners alone: a router does not need its memory.
    from trunkline_routing.learner.app import open_learner

    return open_learner(settings)
