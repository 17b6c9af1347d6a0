"""How the processes of services are started, and no more: command lines."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from trunkline_local.spec import Service


def services_argv(services: Sequence[Service], launcher: Sequence[str] = ()) -> list[str]:
    """Return what runs these services in one process; a `launcher` gets their names instead of the default command."""
    if launcher:
        return [*launcher, *services]
    if len(services) == 1:
        return [sys.executable, "-m", f"trunkline_{services[0]}"]
    return [sys.executable, "-m", "trunkline_mesh.multi", *services]
