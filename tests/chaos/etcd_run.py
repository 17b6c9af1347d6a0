"""One run: the world, the load, the changes and a watcher of our own, while one fault follows the other."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests.chaos.etcd_calls import RefusedError
from tests.chaos.etcd_changes import FOLDER, TENANT, Changer
from tests.chaos.etcd_faults import RECOVERED_WITHIN_S, Done, disturb, plan
from tests.chaos.etcd_ledger import Ledger, Outcome
from tests.chaos.etcd_recorder import Recorder
from tests.chaos.etcd_verdict import GOALS, account, counters, examples, judge
from tests.chaos.etcd_world import DEADLINE_S, WITH_TOKEN, World, open_world
from tests.chaos.load_answer import Account
from tests.chaos.load_process import LoadProcess
from tests.chaos.load_spec import LoadSpec
from trunkline_local import Service
from trunkline_local.readiness import http_get
from trunkline_map.etcd import open_etcd
from trunkline_map.watcher import MapWatcher, watching
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import StaleMap

LOAD_PART: Final = 0.3
"""Offered load as a part of the capacity measured first."""
MAX_RPS: Final = 60.0
IN_FLIGHT: Final = 8
_COUNTERS: Final = ("map_relists", "map_stream_breaks", "map_audit_diffs")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What to run."""

    seed: int
    seconds: float
    """Faults are repeated in further rounds until so much time has passed; the first round is always whole."""
    quick: bool
    changes_per_s: float = 6.0

    @property
    def regions(self) -> int:
        """How many regions the stack has."""
        return 2 if self.quick else 3

    @property
    def collections(self) -> int:
        """How many collections move about."""
        return 9


async def run(options: Options, run_dir: Path, say: Say) -> dict[str, Any]:
    """Return the figures."""
    rng = random.Random(options.seed)
    say("starting the stack")
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(
            open_world(run_dir, regions=options.regions, collections=options.collections, rng=rng)
        )
        recorder, watcher = await stack.enter_async_context(_own_watcher(world))
        await world.rehearse()
        capacity = await _capacity(world, options)
        offered_rps = min(MAX_RPS, LOAD_PART * capacity.done_rps)
        say(f"capacity {capacity.done_rps:.0f}/s in a closed loop of {IN_FLIGHT}; the load is {offered_rps:.1f}/s")
        before = await _counters(world)
        ledger = Ledger()
        load_spec = LoadSpec(streams=world.streams(offered_rps), seed=options.seed, deadline_s=DEADLINE_S)
        load = await stack.enter_async_context(LoadProcess(load_spec))
        tokened = [stream.name for stream in load_spec.streams if stream.name.startswith(WITH_TOKEN)]
        changer = Changer(
            world.control,
            world.etcd,
            world.regions,
            ledger,
            rng,
            lambda token: load.send_token(token, streams=tokened),
        )
        await changer.begin(await world.entries())
        async with _running(changer.run(options.changes_per_s)):
            faults = await _disturb(options, world, ledger, rng, say)
        await changer.read_back()
        await world.caught_up(ledger.map_token, within_s=RECOVERED_WITHIN_S)
        missed = await _missed(world, changer, ledger, recorder, watcher, say)
        generator = await load.stop()
        after = await _counters(world)
    found = judge(load.answers, ledger)
    for line in examples(found):
        say(line)
    differences = after["map_audit_diffs"] - before["map_audit_diffs"]
    figures: dict[str, Any] = {
        "reads": generator.answered,
        "reads_lost": len(found.lost),
        "wrong_answers": len(found.wrong),
        "reads_with_token": sum(answer.asked_revision > 0 for answer in load.answers),
        "stale_reads_with_token": len(found.stale),
        "token_refusals": len(found.refused),
        "changes": ledger.count(Outcome.DONE),
        "changes_refused": ledger.count(Outcome.REFUSED),
        "changes_unknown": ledger.count(Outcome.UNKNOWN),
        "changes_missed": missed + differences,
        "repeated_or_reordered": recorder.repeated_or_reordered,
        "relists": after["map_relists"] - before["map_relists"],
        "stream_breaks": after["map_stream_breaks"] - before["map_stream_breaks"],
        "connections_cut": sum(proxy.cuts for proxy in world.proxies),
        "own_watcher": {"events": len(recorder.delivered), "relists": watcher.relists, "resumes": watcher.resumes},
        "map_age_max_s": max((answer.map_age_s for answer in load.answers), default=0.0),
        "offered_rps": generator.offered_rps,
        "capacity_rps": round(capacity.done_rps, 1),
        "regions": options.regions,
        "seed": options.seed,
        "faults": [{"name": done.name} | account(done, load.answers, ledger, found) for done in faults],
        "generator": asdict(generator),
    }
    return figures | {"good": is_good(figures)}


def is_good(figures: dict[str, Any]) -> bool:
    """Return True if every goal is met, and every fault was got over in time."""
    return not any(figures[goal] for goal in GOALS) and all(
        fault["caught_up_after_s"] is not None for fault in figures["faults"]
    )


async def _disturb(options: Options, world: World, ledger: Ledger, rng: random.Random, say: Say) -> Sequence[Done]:
    began_s = time.monotonic()
    done: list[Done] = []
    while True:
        for fault in plan(rng, quick=options.quick):
            say(f"{fault.name} for {fault.hold_s:g} s")
            done.append(await disturb(fault, world, ledger))
            say(f"  healed; all routers had a new change {done[-1].end_s - done[-1].healed_s:.2f} s later")
            if time.monotonic() > began_s + options.seconds and len(done) >= _ROUND[options.quick]:
                return done


_ROUND: Final = {True: 6, False: 8}
"""Faults in a round, quick or not."""


async def _missed(
    world: World, changer: Changer, ledger: Ledger, recorder: Recorder, watcher: MapWatcher, say: Say
) -> int:
    """Return how many acknowledged changes did not come through: to a router in the end, or to our watcher at all."""
    truth = await changer.truth()
    missed = 0
    try:
        await watcher.at_least(ledger.map_token, Deadline.after(RECOVERED_WITHIN_S))
    except StaleMap:
        say("our own watcher did not catch up")
    for name, (revision, region) in truth.items():
        if ledger.region_at(name, revision) != region:
            missed += 1
            say(f"etcd has {name} at {region}, revision {revision}, which nobody asked for")
        for router in world.regions:
            try:
                seen = await world.region_by(router, name, b"", timeout_s=5.0)
            except RefusedError as exc:
                seen = str(exc)
            if seen != region:
                missed += 1
                say(f"the router of {router} has {name} at {seen}, not at {region}")
    for name, revision in ledger.acknowledged:
        if revision > truth[name][0] or not recorder.covers(FOLDER + name.encode(), revision):
            missed += 1
            say(f"revision {revision} of {name} never came to our watcher, or is not in etcd")
    own = {entry.collection_id: entry.revision for entry in watcher.snapshot.collections_of(TENANT)}
    return missed + sum(own.get(name) != revision for name, (revision, _) in truth.items())


async def _capacity(world: World, options: Options) -> Account:
    spec = LoadSpec(
        streams=world.streams(1.0),
        seed=options.seed,
        deadline_s=DEADLINE_S,
        closed_in_flight=IN_FLIGHT,
        seconds=2.0 if options.quick else 5.0,
    )
    async with LoadProcess(spec) as load:
        return await load.account()


@asynccontextmanager
async def _own_watcher(world: World) -> AsyncIterator[tuple[Recorder, MapWatcher]]:
    """Watch the map in this process, through the proxies, by the library that the services use."""
    async with open_etcd([proxy.address for proxy in world.proxies]) as store:
        recorder = Recorder(store)
        async with watching(recorder) as watcher:
            if not await watcher.wait_ready(RECOVERED_WITHIN_S):
                raise TimeoutError("our own watcher found no map")
            yield recorder, watcher


@asynccontextmanager
async def _running(work: Any) -> AsyncIterator[None]:
    """Run beside the body, and end with it; what it raises is raised at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def _counters(world: World) -> dict[str, int]:
    pages = []
    for region in world.local.state.regions:
        address, _, path = region.metrics[Service.ROUTING].removeprefix("http://").partition("/")
        status, body = await http_get(address, f"/{path}")
        if status != 200:
            raise RuntimeError(f"the metrics of {region.region_id} cannot be read")
        pages.append(body.decode())
    return dict(counters(pages, _COUNTERS))
