"""The admission service's fixtures, and channels as routers have them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from tests.integration.admission.conftest import identity, opened, serve, settings_of, tiers_path

from trunkline_local.ports import PortAllocator
from trunkline_mesh.channels import ChannelPool

__all__ = ["identity", "opened", "serve", "settings_of", "tiers_path"]


@pytest.fixture
async def pool() -> AsyncIterator[ChannelPool]:
    """Open channels with the mesh's options."""
    async with ChannelPool() as channels:
        yield channels


@pytest.fixture
def free_port_number(port_allocator: PortAllocator) -> Callable[[], int]:
    """Return a port that nobody else is given."""
    return port_allocator.take
