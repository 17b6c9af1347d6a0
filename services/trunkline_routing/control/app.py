"""Composition root of the control role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from trunkline_map.blob import FileBlobStore
from trunkline_map.etcd import open_etcd
from trunkline_map.rank_book import RankBook
from trunkline_map.source import MapSource
from trunkline_map.watcher import watching
from trunkline_mesh.app import MeshApp
from trunkline_mesh.background import background
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DeadlineExceeded, MapUnwritable
from trunkline_mesh.identity import ServiceToken
from trunkline_mesh.logs import get_logger
from trunkline_routing.control.audit_file import AuditFile
from trunkline_routing.control.audit_writer import AuditWriter
from trunkline_routing.control.bindings import Rules, control_bindings
from trunkline_routing.control.freeze import Freeze
from trunkline_routing.control.freeze_watch import FreezeWatch, asker
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.policy_text import read_policy
from trunkline_routing.control.refusal_writer import RefusalWriter
from trunkline_routing.control.refusals import turned_away
from trunkline_routing.control.tiers import read_allowances
from trunkline_routing.control.two_persons import SecondPerson, parse_acts
from trunkline_routing.settings import RoutingSettings
from trunkline_tiers import read_tiers

_log = get_logger(__name__)

REFUSALS_DIR: Final = "refusals"
"""Folder of the account of refusals, in that of the audit log."""

ATTEMPT_TIMEOUT_S: Final = 5.0
"""Bound of one attempt to set up a new etcd."""

ATTEMPT_PAUSE_S: Final = 0.5
"""Pause after one that failed."""


@asynccontextmanager
async def open_control(settings: RoutingSettings) -> AsyncIterator[MeshApp]:
    """Open the control role: one channel to etcd for writes and the watch, and the blobs' folder.

    Does not wait for etcd: the role becomes ready when the map is loaded.
    """
    async with open_etcd(settings.etcd_access()) as store, watching(store) as watcher:
        tiers = read_tiers(settings.tiers_path)
        freeze = Freeze(tiers)
        maps = MapStore(store, watcher, whole=lambda: not watcher.feed.malformed, freeze=freeze)
        rules = Rules(
            read_allowances(settings.tier_limits_path), SecondPerson(parse_acts(settings.two_person_acts)), tiers
        )
        refusals = _refusals(watcher, settings)
        note = refusals.note if refusals is not None else None
        bindings = control_bindings(maps, FileBlobStore(settings.blob_dir), read_policy, rules, note)
        # Without etcd the last good map answers reads, so losing it must not take this service out.
        checks, soft_checks = {"map": watcher.ready}, {"etcd": watcher.connected}
        async with background(_set_up(maps)), _auditing(maps, refusals, settings), _freezing(freeze, watcher, settings):
            rank_of = RankBook(watcher, tiers).rank_of
            yield MeshApp(
                "routing-control",
                bindings,
                checks=checks,
                soft_checks=soft_checks,
                rank_of=rank_of,
                on_refusal=turned_away(note) if note is not None else None,
            )


@asynccontextmanager
async def _auditing(maps: MapStore, refusals: RefusalWriter | None, settings: RoutingSettings) -> AsyncIterator[None]:
    """Write the audit log and the account of refusals for the duration of the context, if there are to be any."""
    if settings.audit_dir is None or refusals is None:
        yield
        return
    writer = AuditWriter(maps, AuditFile(settings.audit_dir, settings.audit_file_bytes))
    async with background(writer.run()), background(refusals.run()):
        yield


def _refusals(source: MapSource, settings: RoutingSettings) -> RefusalWriter | None:
    """Return what writes the account of refusals, if there is to be one."""
    if settings.audit_dir is None:
        return None

    def revision() -> int:
        return source.snapshot.revision if source.ready() else 0

    return RefusalWriter(settings.audit_dir / REFUSALS_DIR, settings.audit_file_bytes, revision)


@asynccontextmanager
async def _freezing(freeze: Freeze, source: MapSource, settings: RoutingSettings) -> AsyncIterator[None]:
    """Ask the regions how they keep their promises for the duration of the context, unless that is switched off."""
    if not settings.change_freeze or settings.service_token_path is None:
        yield  # nothing is ever told, so nothing is frozen
        return
    async with ChannelPool(max_channels=settings.max_channels) as channels:
        ask = asker(channels, ServiceToken(settings.service_token_path))
        async with background(FreezeWatch(source, freeze, ask).run()):
            yield


async def _set_up(maps: MapStore) -> None:
    """Write the epoch of a new etcd. Until it is there no map is ready, so nobody's request would do it."""
    attempts = 0
    while True:
        try:
            await maps.ensure_epoch(Deadline.after(ATTEMPT_TIMEOUT_S))
        except (MapUnwritable, DeadlineExceeded):
            attempts += 1
            if attempts == 1:
                _log.warning("the control store cannot be reached yet", dependency="etcd")
            await asyncio.sleep(ATTEMPT_PAUSE_S)
        else:
            return
