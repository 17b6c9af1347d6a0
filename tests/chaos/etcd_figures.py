"""The figures of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

from tests.chaos.etcd_calls import RefusedError
from tests.chaos.etcd_changes import FOLDER, TENANT
from tests.chaos.etcd_faults import RECOVERED_WITHIN_S, Done
from tests.chaos.etcd_ledger import Ledger, Outcome
from tests.chaos.etcd_recorder import Recorder
from tests.chaos.etcd_verdict import STALE, Judgement, account, counters, served_elsewhere
from tests.chaos.etcd_world import World
from tests.chaos.load_answer import Account, Answer
from trunkline_local import Service
from trunkline_local.readiness import http_get
from trunkline_map.watcher import MapWatcher
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import StaleMap

GOALS: Final = ("reads_lost", "wrong_answers", "changes_missed", "stale_reads_with_token", "repeated_or_reordered")
"""Figures that must be 0."""
_RELISTS, _BREAKS, _DIFFERENCES = COUNTERS = ("map_relists", "map_stream_breaks", "map_audit_diffs")


@dataclass(frozen=True)
class Outcomes:
    """All that a run has seen."""

    seed: int
    world: World
    ledger: Ledger
    recorder: Recorder
    watcher: MapWatcher
    faults: Sequence[Done]
    answers: Sequence[Answer]
    capacity: Account
    generator: Account
    counted: Mapping[str, int]
    """What the services' own counters of `COUNTERS` grew by, over all regions."""
    lacking: int
    """Acknowledged changes that did not come through."""


def figures_of(seen: Outcomes, found: Judgement) -> dict[str, Any]:
    """Return the figures for RESULT."""
    ledger = seen.ledger
    figures: dict[str, Any] = {
        "reads": seen.generator.answered,
        "reads_lost": len(found.lost),
        "wrong_answers": len(found.wrong),
        "served_elsewhere": sum(map(served_elsewhere, seen.answers)),
        "reads_with_token": sum(answer.asked_revision > 0 for answer in seen.answers),
        "stale_reads_with_token": len(found.stale),
        "token_refusals": len(found.refused),
        "token_refusals_hidden": sum(answer.outcome != STALE for answer in found.refused),
        "changes": ledger.count(Outcome.DONE),
        "changes_refused": ledger.count(Outcome.REFUSED),
        "changes_unknown": ledger.count(Outcome.UNKNOWN),
        "changes_missed": seen.lacking + seen.counted[_DIFFERENCES],
        "repeated_or_reordered": seen.recorder.repeated_or_reordered,
        "relists": seen.counted[_RELISTS],
        "stream_breaks": seen.counted[_BREAKS],
        "connections_cut": sum(proxy.cuts for proxy in seen.world.proxies),
        "own_watcher": {
            "events": len(seen.recorder.delivered),
            "relists": seen.watcher.relists,
            "resumes": seen.watcher.resumes,
        },
        "map_age_max_s": max((answer.map_age_s for answer in seen.answers), default=0.0),
        "offered_rps": seen.generator.offered_rps,
        "capacity_rps": round(seen.capacity.done_rps, 1),
        "regions": len(seen.world.regions),
        "seed": seen.seed,
        "faults": [{"name": done.name} | account(done, seen.answers, ledger, found) for done in seen.faults],
        "generator": asdict(seen.generator),
    }
    return figures | {"good": _is_good(figures)}


def _is_good(figures: Mapping[str, Any]) -> bool:
    return not any(figures[goal] for goal in GOALS) and all(
        fault["reads"] > 0 and fault["caught_up_after_s"] is not None for fault in figures["faults"]
    )


async def map_counters(world: World) -> dict[str, int]:
    """Return what the regions' metrics pages count of the map. Raises OSError for one that cannot be read."""
    pages = []
    for region in world.local.state.regions:
        address, _, path = region.metrics[Service.ROUTING].removeprefix("http://").partition("/")
        status, body = await http_get(address, f"/{path}")
        if status != 200:
            raise ConnectionError(f"the metrics of {region.region_id} cannot be read")
        pages.append(body.decode())
    return dict(counters(pages, COUNTERS))


async def missed(
    world: World,
    truth: Mapping[str, tuple[int, str]],
    ledger: Ledger,
    recorder: Recorder,
    watcher: MapWatcher,
    say: Callable[[str], None],
) -> int:
    """Return how many changes did not come through: to a router in the end, or to our own watcher at all."""
    with suppress(StaleMap):  # it shows below which changes it lacks
        await watcher.at_least(ledger.map_token, Deadline.after(RECOVERED_WITHIN_S))
    problems = [
        f"etcd has {name} at {region}, revision {revision}, which nobody asked for"
        for name, (revision, region) in truth.items()
        if ledger.region_at(name, revision) != region
    ]
    problems += [
        f"revision {revision} of {name} never came to our watcher, or is not in etcd"
        for name, revision in ledger.acknowledged
        if revision > truth[name][0] or not recorder.covers(FOLDER + name.encode(), revision)
    ]
    own = {entry.collection_id: entry.revision for entry in watcher.snapshot.collections_of(TENANT)}
    problems += [
        f"our watcher has {name} at revision {own.get(name)}, etcd at {revision}"
        for name, (revision, _) in truth.items()
        if own.get(name) != revision
    ]
    for router in world.regions:
        for name, (_, region) in truth.items():
            seen = await _seen_by(world, router, name)
            if seen != region:
                problems.append(f"the router of {router} has {name} at {seen}, not at {region}")
    for problem in problems:
        say(problem)
    return len(problems)


async def _seen_by(world: World, router: str, name: str) -> str:
    try:
        return await world.region_by(router, name, b"", timeout_s=5.0)
    except RefusedError as exc:
        return str(exc)
