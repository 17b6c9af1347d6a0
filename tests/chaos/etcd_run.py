"""One run: the world, the load, the changes and a watcher of our own, while one fault follows the other."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.chaos.etcd_changes import Changer
from tests.chaos.etcd_faults import RECOVERED_WITHIN_S, Done, Fault, disturb, plan
from tests.chaos.etcd_figures import Outcomes, map_counters, missed
from tests.chaos.etcd_ledger import Ledger
from tests.chaos.etcd_recorder import Recorder
from tests.chaos.etcd_world import WITH_TOKEN, World, open_world
from tests.chaos.load_answer import Account
from tests.chaos.load_process import LoadProcess
from tests.chaos.load_spec import LoadSpec
from trunkline_map.etcd import open_etcd
from trunkline_map.watcher import MapWatcher, watching

LOAD_PART: Final = 0.28
"""Offered load as a part of the capacity measured first: with what chance adds, it stays within 30 %."""
MAX_RPS: Final = 60.0
IN_FLIGHT: Final = 8
LOAD_WITHIN_S: Final = 60.0
COLLECTIONS: Final = 9
CHANGES_PER_S: Final = 6.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What to run."""

    seed: int
    quick: bool = False
    """Two regions and short faults."""
    seconds: float = 0.0
    """Faults are repeated in further rounds until so much time has passed; the first round is always whole."""
    only: frozenset[str] = frozenset()
    """Names of the faults to cause; empty for all."""
    deadline_s: float = 2.0
    """What callers give a search: the client's default."""


async def run(options: Options, run_dir: Path, say: Say) -> Outcomes:
    """Return what was seen. Leaves no process behind; `run_dir` is the caller's to remove."""
    rng = random.Random(options.seed)
    ledger = Ledger()
    say("starting the stack")
    async with (
        open_world(run_dir, regions=2 if options.quick else 3, collections=COLLECTIONS, rng=rng) as world,
        _own_watcher(world) as (recorder, watcher),
    ):
        await world.rehearse()
        capacity = await _capacity(world, options)
        spec = LoadSpec(
            streams=world.streams(min(MAX_RPS, LOAD_PART * capacity.done_rps)),
            seed=options.seed,
            deadline_s=options.deadline_s,
        )
        say(f"capacity {capacity.done_rps:.0f}/s, {IN_FLIGHT} callers in a closed loop; load {spec.offered_rps:.1f}/s")
        before = await map_counters(world)
        async with LoadProcess(spec) as load:
            changer = _changer(world, ledger, rng, load)
            await changer.begin(await world.entries())
            if await load.until(lambda answer: answer.asked_revision > 0, within_s=LOAD_WITHIN_S) is None:
                raise TimeoutError("the load did not begin")
            async with _running(changer.run(CHANGES_PER_S)):
                faults = await _disturb(options, world, ledger, rng, say)
            await changer.read_back()
            await world.caught_up(ledger.map_token, within_s=RECOVERED_WITHIN_S)
            lacking = await missed(world, await changer.truth(), ledger, recorder, watcher, say)
            generator = await load.stop()
        after = await map_counters(world)
        return Outcomes(
            options.seed,
            world,
            ledger,
            recorder,
            watcher,
            faults,
            load.answers,
            capacity,
            generator,
            {name: after[name] - before[name] for name in after},
            lacking,
        )


def _changer(world: World, ledger: Ledger, rng: random.Random, load: LoadProcess) -> Changer:
    tokened = [stream.name for stream in load.spec.streams if stream.name.startswith(WITH_TOKEN)]

    async def tell(map_token: bytes) -> None:
        await load.send_token(map_token, streams=tokened)

    return Changer(world.control, world.etcd, world.regions, ledger, rng, tell)


async def _disturb(options: Options, world: World, ledger: Ledger, rng: random.Random, say: Say) -> Sequence[Done]:
    began_s = time.monotonic()
    done: list[Done] = []
    while not done or time.monotonic() < began_s + options.seconds:
        for fault in _round(options, rng):
            say(f"{fault.name}, {fault.hold_s:g} s")
            done.append(await disturb(fault, world, ledger))
            say(f"  undone; every router had a new change {done[-1].end_s - done[-1].healed_s:.2f} s later")
    return done


def _round(options: Options, rng: random.Random) -> Sequence[Fault]:
    usual = plan(rng, quick=options.quick)
    if not options.only:
        return usual
    chosen = [fault for fault in usual if fault.name in options.only]
    if not chosen:
        raise ValueError(f"no fault is called {', '.join(sorted(options.only))}")
    return chosen


async def _capacity(world: World, options: Options) -> Account:
    spec = LoadSpec(
        streams=world.streams(1.0),
        seed=options.seed,
        deadline_s=options.deadline_s,
        closed_in_flight=IN_FLIGHT,
        seconds=2.0 if options.quick else 5.0,
    )
    async with LoadProcess(spec) as load:
        return await load.account()


@asynccontextmanager
async def _own_watcher(world: World) -> AsyncIterator[tuple[Recorder, MapWatcher]]:
    """Watch the map in this process, through the routers' proxies, by the library that the services use."""
    async with open_etcd([proxy.address for proxy in world.router_proxies]) as store:
        recorder = Recorder(store)
        async with watching(recorder) as watcher:
            if not await watcher.wait_ready(RECOVERED_WITHIN_S):
                raise TimeoutError("our own watcher found no map")
            yield recorder, watcher


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run beside the body, and end with it; what it raises is raised at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()
