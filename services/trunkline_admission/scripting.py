"""The port to a store that runs the quota's scripts, and the scripts' texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any, Final, Protocol

PRELUDE: Final = "clock"
"""Included before each script of the quota."""


class ScriptRunner(Protocol):
    """Runs a script of this package at once and alone: nothing else happens in the store meanwhile."""

    async def run(self, script: str, keys: Sequence[str], args: Sequence[str | int | float]) -> Any:
        """Run `scripts/{script}.lua`; return its answer as redis-py gives it.

        Raises BackendUnavailable or BackendTimeout.
        """


@cache
def script_text(name: str) -> str:
    """Return the text of a script with its prelude. Raises FileNotFoundError for a name that is none."""
    folder = resources.files("trunkline_admission") / "scripts"
    return "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in (PRELUDE, name))
