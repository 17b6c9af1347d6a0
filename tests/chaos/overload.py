"""Some flood, and the others must not notice: ten times what a region can do, by 500 free tenants, by one pro tenant,
by one enterprise tenant among others, and by free tenants again while Redis is killed.

    python -m tests.chaos.overload [--quick] [--phases free,pro,enterprise,redis] [--seconds N] [--seed N]

One region of the local stack with pinned capacity (`tests/chaos/overload_world.py`). First a closed loop measures that
capacity, then the others alone give each tier's quiet p95; then each flood comes on top of them, in an open loop that
waits for nobody. The last line is `RESULT {json}`; docs/performance.md says what its figures mean.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tests.chaos import overload_world as world
from tests.chaos.failover import speaker
from tests.chaos.load_process import ROOT
from tests.chaos.overload_figures import PhaseRun, broken_promises, by_tier, phase_figures
from tests.chaos.overload_spec import OK, Call, Caller, OverloadSpec
from tests.chaos.overload_world import OverloadStack

PHASES: Final = ("free", "pro", "enterprise", "redis")
END_WITHIN_S: Final = 60.0
KILL_AFTER_PART: Final = 1 / 3
"""Of the last phase: when Redis is killed."""
Say = Callable[[str], None]


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.overload",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="8 s for each phase instead of 40")
    parser.add_argument("--seconds", type=float, help="how long each phase lasts")
    parser.add_argument("--phases", default=",".join(PHASES), help="which, separated by commas (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of the arrivals (default: a new one)")
    parser.add_argument("--calls", type=Path, help="write every call there, a line of JSON each, to look into")
    parsed = parser.parse_args(argv)
    if unknown := set(parsed.phases.split(",")) - set(PHASES):
        parser.error(f"unknown phases: {', '.join(sorted(unknown))}")
    parsed.seconds = parsed.seconds or (8.0 if parsed.quick else 40.0)
    parsed.seed = secrets.randbelow(1 << 31) if parsed.seed is None else parsed.seed
    return parsed


async def generate(spec: OverloadSpec, beside: Awaitable[None] | None = None) -> list[Call]:
    """Run one generator to its end, and `beside` with it; return its calls."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.chaos.overload_load",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=4 << 20,
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(spec.seconds + END_WITHIN_S):
            other = asyncio.ensure_future(beside) if beside is not None else None
            out, _ = await process.communicate(spec.model_dump_json().encode() + b"\n")
            if other is not None:
                await other
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError("the load generator failed; its own words stand above")
    return [Call.from_line(line) for line in out.splitlines()]


class Overload:
    """Measures a stack, phase by phase."""

    def __init__(self, stack: OverloadStack, asked: argparse.Namespace, say: Say) -> None:
        self._stack = stack
        self._asked = asked
        self._say = say
        self.runs: list[PhaseRun] = []

    async def capacity_rps(self) -> float:
        """Return the answers a second that a closed loop gets with as many callers as there are slots, and a few."""
        everybody = self._stack.quiet() + self._stack.flood("free", 1.0)
        await generate(self._spec(everybody, seconds=20.0, closed=world.SLOTS))  # each has its vector at hand then
        seconds = max(5.0, self._asked.seconds / 4)
        calls = await generate(self._spec(self._stack.quiet(), seconds=seconds, closed=world.SLOTS + 2))
        return float(sum(call.outcome == OK for call in calls) / seconds)

    async def phase(self, name: str, flood: Sequence[Caller] = (), beside: Awaitable[None] | None = None) -> PhaseRun:
        """Run the others and a flood together."""
        whole_tier = {each.tier for each in flood if each.tier == "free"}  # nobody of it is left who does not flood
        callers = [*(each for each in self._stack.quiet() if each.tier not in whole_tier), *flood]
        calls = await generate(self._spec(callers, seconds=self._asked.seconds), beside)
        run = PhaseRun(name, callers, calls, self._asked.seconds)
        self.runs.append(run)
        await self.quiet_again()
        return run

    async def kill_redis(self) -> None:
        """Kill the region's Valkey a while after the phase has begun."""
        await asyncio.sleep(self._asked.seconds * KILL_AFTER_PART)  # the phase's schedule
        await self._stack.local.kill(f"{world.REGION}/valkey")
        self._say("killed Valkey")

    async def quiet_again(self) -> None:
        """Wait until the others are served without a failure."""
        async with asyncio.timeout(END_WITHIN_S):
            while True:
                calls = await generate(self._spec(self._stack.quiet(), seconds=1.0))
                if all(call.outcome == OK for call in calls):
                    return

    def _spec(self, callers: Sequence[Caller], *, seconds: float, closed: int = 0) -> OverloadSpec:
        return OverloadSpec(
            target=self._stack.router,
            callers=tuple(callers),
            text=world.QUESTION,
            collection=world.COLLECTION,
            deadlines_s=dict(world.DEADLINES_S),
            seed=self._asked.seed,
            seconds=seconds,
            closed_in_flight=closed,
        )


async def measure(stack: OverloadStack, asked: argparse.Namespace, say: Say) -> tuple[dict[str, Any], list[PhaseRun]]:
    """Run all phases; return the figures and the calls."""
    overload = Overload(stack, asked, say)
    capacity_rps = await overload.capacity_rps()
    say(f"capacity {capacity_rps:.1f} searches a second")
    quiet = await overload.phase("quiet")
    quiet_p95_ms = {tier: seen["p95_ms"] for tier, seen in by_tier(quiet, {}).items()}
    say(f"quiet p95 in ms: {quiet_p95_ms}")
    phases = [phase_figures(quiet, capacity_rps, quiet_p95_ms)]
    for name in asked.phases.split(","):
        flood = stack.flood("free" if name == "redis" else name, world.OVERLOAD * capacity_rps)
        run = await overload.phase(name, flood, overload.kill_redis() if name == "redis" else None)
        phases.append(phase_figures(run, capacity_rps, quiet_p95_ms))
        say(json.dumps(phases[-1]))
    broken = {each["name"]: broken_promises(each, stack.tiers) for each in phases}
    figures = {
        "capacity_rps": round(capacity_rps, 1),
        "slots": world.SLOTS,
        "delay_ms": world.DELAY_S * 1000,
        "seconds": asked.seconds,
        "seed": asked.seed,
        "cores": len(os.sched_getaffinity(0)),
        "promises_broken": {name: lines for name, lines in broken.items() if lines},
        "phases": phases,
    }
    return figures, overload.runs


def write_calls(path: Path, runs: Sequence[PhaseRun]) -> None:
    """Write every call with its phase and tenant."""
    with path.open("w", encoding="utf-8") as file:
        for run in runs:
            for call in run.calls:
                told = {"phase": run.name, "tenant": run.callers[call.caller].tenant} | call._asdict()
                file.write(json.dumps(told) + "\n")


async def main(asked: argparse.Namespace) -> dict[str, Any]:
    """Start the stack, run everything, return the figures."""
    say = speaker()
    with tempfile.TemporaryDirectory(prefix="trunkline-overload-") as folder:
        say(f"starting one region with {world.FREE_FLOODERS} flooders and the others; seed {asked.seed}")
        async with world.open_overload_stack(Path(folder)) as stack:
            say("everything is written; measuring capacity")
            figures, runs = await measure(stack, asked, say)
    if asked.calls:
        write_calls(asked.calls, runs)
    return figures


if __name__ == "__main__":
    print("RESULT " + json.dumps(asyncio.run(main(arguments()))))
