"""Run in an environment that has only a client's needs: all contracts and the client must import."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import trunkline
import trunkline_client

# The wheel, not a checkout, must be what is imported.
assert Path(trunkline_client.__file__).is_relative_to(sys.prefix), trunkline_client.__file__

# `trunkline` is a namespace package all the way down, which pkgutil does not walk; the files tell the names.
root = Path(next(iter(trunkline.__path__)))
modules = sorted(
    ".".join(("trunkline", *path.relative_to(root).with_suffix("").parts)) for path in root.rglob("*_pb2*.py")
)
assert len(modules) >= 20, modules
for name in modules:
    importlib.import_module(name)
sys.stdout.write(f"client ok: {len(modules)} generated modules and trunkline_client {trunkline_client.__name__}\n")
