"""What the collection map costs and how soon a change is seen: `python -m tests.bench.map`; last line `RESULT {json}`.

1. A map of 10,000 tenants with 10 collections each is written into an etcd of one member. A process of its own loads
   it, several times: `load_s` from opening the watcher until it is ready, `bytes_per_collection` of resident memory
   (tenants, keys and indices included), and the look-up of random collections.
2. The real control role and three real routers start over that etcd. One more process makes the traffic: open loops of
   `changes_per_s` changes through the control role, and of reads at 30 % of the measured capacity, those that follow
   the changes included.
3. Visibility: each change is read at all three routers with its token. `visible_ms` is from the start of the change's
   call until a router answered with the change in it; `after_answer_ms` the same from the control role's answer.
4. The proof: the last router's watch is delayed by 50 ms. `token_stale` counts reads with the token that did not show
   the change, of `token_reads`; `no_token_stale` those without it, at the delayed router, of `plain_reads`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.map_seed import ground, seed, tenants
from tests.bench.map_world import Targets, World, open_world
from trunkline_map.etcd import open_etcd

SHARE: Final = 0.3
"""Part of the capacity that is offered."""
DELAY_S: Final = 0.05
READS_PER_CHANGE: Final = 3


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    tenants: int
    loads: int
    visible_changes: int
    proof_changes: int
    changes_per_s: float
    capacity_s: float


QUICK: Final = Plan(10_000, loads=3, visible_changes=300, proof_changes=300, changes_per_s=20, capacity_s=3)
FULL: Final = Plan(10_000, loads=5, visible_changes=1200, proof_changes=3400, changes_per_s=20, capacity_s=6)


def quantile(values: list[float], share: float) -> float:
    """Return the value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def say(text: str) -> None:
    """Tell how far it is."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


async def loaded(endpoint: str, plan: Plan) -> dict[str, Any]:
    """Load the map in fresh processes, one after the other; return the medians of their figures."""
    runs: list[dict[str, Any]] = []
    for number in range(plan.loads):
        argv = (sys.executable, "-m", "tests.bench.map_load", endpoint, str(plan.tenants))
        process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
        answer, _ = await process.communicate()
        runs.append(json.loads(answer))
        say(f"load {number + 1}/{plan.loads}: {runs[-1]['load_s']} s, {runs[-1]['bytes_per_collection']} bytes each")
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return medians | {"load_s_each": [run["load_s"] for run in runs]}


class Traffic:
    """The traffic's process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Talk to a process that has its targets."""
        self._process = process

    async def ask(self, **command: Any) -> dict[str, Any]:
        """Have a command done and return what came of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the traffic's process ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


@asynccontextmanager
async def open_traffic(targets: Targets) -> AsyncIterator[Traffic]:
    """Start the traffic's process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.map_traffic"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 26,  # an answer holds every measurement
    )
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(targets.as_json()).encode() + b"\n")
        yield Traffic(process)
    finally:
        process.stdin.close()
        await process.wait()


async def probed(world: World, targets: Targets, plan: Plan) -> dict[str, Any]:
    """Measure visibility and prove the token over running services."""
    async with open_traffic(targets) as traffic:
        capacity_rps = (await traffic.ask(do="capacity", seconds=plan.capacity_s))["rps"]
        offered_rps = capacity_rps * SHARE
        # What follows the changes is part of what is offered.
        beside_rps = max(1.0, offered_rps - plan.changes_per_s * (READS_PER_CHANGE + 2))
        say(f"capacity {capacity_rps:.0f} reads/s; offering {offered_rps:.0f}/s")
        common = {"do": "probe", "changes_per_s": plan.changes_per_s, "load_rps": beside_rps}
        visible = await traffic.ask(**common, changes=plan.visible_changes, plain=False)
        say(f"visible: {visible['changes']} changes, failures {visible['failures']}")
        world.late.faults.delay_s = DELAY_S
        proof = await traffic.ask(**common, changes=plan.proof_changes, plain=True)
        say(f"proof: {proof['token_reads']} reads with a token, {proof['token_stale']} stale")
        say(f"failures: {proof['failures']}")
    return {
        "routers": len(targets.routers),
        "capacity_rps": round(capacity_rps, 1),
        "offered_rps": round(offered_rps, 1),
        "changes_per_s": plan.changes_per_s,
        "changes": visible["changes"] + proof["changes"],
        "failures": sum(visible["failures"].values()) + sum(proof["failures"].values()),
        "dropped": visible["dropped"] + proof["dropped"],
        **{
            f"{name}_p{percent}": round(quantile(visible[name], percent / 100), 2)
            for name in ("visible_ms", "after_answer_ms")
            for percent in (50, 99)
        },
        "token_reads": visible["token_reads"] + proof["token_reads"],
        "token_stale": visible["token_stale"] + proof["token_stale"],
        "plain_reads": proof["plain_reads"],
        "no_token_stale": proof["no_token_stale"],
        "watch_delay_ms": DELAY_S * 1000,
    }


async def measure(plan: Plan) -> dict[str, Any]:
    """Run everything and return the figures."""
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-map-") as folder:
        async with open_world(Path(folder)) as world:
            async with open_etcd(world.etcd) as store:
                written = await seed(store, ground()) + await seed(store, tenants(plan.tenants))
            say(f"{written} entries written")
            figures = await loaded(world.etcd[0], plan)
            targets = await world.start_services()
            say("control role and three routers have the map")
            return figures | await probed(world, targets, plan)


def main() -> None:
    """Parse arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer loads and reads; a minute instead of six")
    arguments = parser.parse_args()
    figures = asyncio.run(measure(QUICK if arguments.quick else FULL))
    sys.stdout.write(f"RESULT {json.dumps(figures)}\n")


if __name__ == "__main__":
    main()
