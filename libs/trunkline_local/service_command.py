"""How the processes of services are started, and no more: command lines."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from trunkline_local.spec import Service


def service_argv(service: Service) -> list[str]:
    """Return what runs one service in a process of its own."""
    return [sys.executable, "-m", f"trunkline_{service}"]


def region_argv(services: Sequence[Service]) -> list[str]:
    """Return what runs several services in one process."""
    return [sys.executable, "-m", "trunkline_mesh.multi", *services]
