"""Composition root: the role decides what this process is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trunkline_mesh.app import MeshApp
from trunkline_routing.control.app import open_control
from trunkline_routing.edge.app import open_edge
from trunkline_routing.settings import RoutingSettings


@asynccontextmanager
async def open_app(settings: RoutingSettings) -> AsyncIterator[MeshApp]:
    """Open the role that the settings name."""
    opened = open_control(settings) if settings.role == "control" else open_edge(settings)
    async with opened as app:
        yield app
