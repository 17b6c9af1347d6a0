"""Run in an environment that has only a client's needs: all contracts and the client must import."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

import trunkline
import trunkline_client

# The wheel, not a checkout, must be what is imported.
assert Path(trunkline_client.__file__).is_relative_to(sys.prefix), trunkline_client.__file__

modules = [
    module.name
    for module in pkgutil.walk_packages(trunkline.__path__, "trunkline.")
    if module.name.endswith(("_pb2", "_pb2_grpc"))
]
assert len(modules) >= 20, modules
for name in modules:
    importlib.import_module(name)
sys.stdout.write(f"client ok: {len(modules)} generated modules and trunkline_client {trunkline_client.__name__}\n")
