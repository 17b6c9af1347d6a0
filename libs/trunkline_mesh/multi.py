"""Runs one or several services in one process: `python -m trunkline_mesh.multi routing retrieval ...`.

Services are found by name at run time (`trunkline_{name}.app.open_app`, `trunkline_{name}.settings.{Name}Settings`), so
that the runtime imports none of them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any, Final

from trunkline_mesh.server import EXIT_SETTINGS, OpenApp, run
from trunkline_mesh.settings import ServiceSettings

SERVICES: Final = ("routing", "retrieval", "rerank", "inference", "admission")


def parts_of(names: Sequence[str]) -> list[tuple[type[ServiceSettings], OpenApp[Any]]]:
    """Return settings and composition root of each named service; raise ValueError for an unknown or repeated name."""
    unknown = [name for name in names if name not in SERVICES]
    if unknown or not names or len(set(names)) != len(names):
        raise ValueError(f"name one or several of {', '.join(SERVICES)}, each once")
    return [
        (
            getattr(importlib.import_module(f"trunkline_{name}.settings"), f"{name.capitalize()}Settings"),
            importlib.import_module(f"trunkline_{name}.app").open_app,
        )
        for name in names
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the named services until SIGTERM or SIGINT."""
    names = [name for name in (sys.argv[1:] if arguments is None else arguments) if not name.startswith("-")]
    try:
        parts = parts_of(names)
    except ValueError as exc:
        sys.stderr.write(f"{exc}\n")
        sys.exit(EXIT_SETTINGS)
    run(parts, "+".join(names))


if __name__ == "__main__":
    main()
