"""Composition root of the control role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from trunkline_map.blob import FileBlobStore
from trunkline_map.etcd import open_etcd
from trunkline_map.store import KeyValueStore
from trunkline_map.watcher import MapWatcher, watching
from trunkline_mesh.app import MeshApp
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import MapUnwritable
from trunkline_mesh.logs import get_logger
from trunkline_routing.control.bindings import control_bindings
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.edge.policy_text import check_policy
from trunkline_routing.settings import RoutingSettings

_log = get_logger(__name__)

START_TIMEOUT_S: Final = 5.0
"""How long the start waits for etcd; after that control serves anyway and becomes ready when etcd comes."""


@asynccontextmanager
async def open_control(settings: RoutingSettings) -> AsyncIterator[MeshApp]:
    """Open the control role: one channel to etcd for writes and the watch, and the blobs' folder."""
    endpoints = [endpoint.strip() for endpoint in settings.etcd_endpoints.split(",")]
    async with open_etcd(endpoints) as store, watching(store) as watcher:
        await _prepare(store, watcher)
        bindings = control_bindings(store, watcher, FileBlobStore(settings.blob_dir), check_policy)
        # Without etcd the last good map answers reads, so losing it must not take this service out.
        yield MeshApp(
            "routing-control", bindings, checks={"map": watcher.ready}, soft_checks={"etcd": watcher.connected}
        )


async def _prepare(store: KeyValueStore, watcher: MapWatcher) -> None:
    """Write the epoch of a new etcd. One that is away gets it with the first read or change."""
    try:
        await MapStore(store, watcher).ensure_epoch(Deadline.after(START_TIMEOUT_S))
    except MapUnwritable:
        _log.warning("the control store cannot be reached yet", dependency="etcd")
