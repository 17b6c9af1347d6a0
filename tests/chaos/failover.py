"""A region is lost under load, in four ways, and callers of the client library shall notice nothing.

    python -m tests.chaos.failover [--quick] [--faults kill,pause,slow,drain] [--seed N]

Three regions with real etcd, Valkey, Triton and five services each. Capacity is measured first, by a closed loop with
the very mix of requests; then an open-loop generator in a process of its own offers at most 30 % of it, through the
routers of all three regions, for three tenants in different walls (the mix: `tests/chaos/stack_world.py`). One region
is killed with `kill -9` and started again, frozen with SIGSTOP and resumed, made slow by a proxy before each of its
services and healed, drained and undrained. Every answer is compared with the known one. Callers give each request 2 s;
the client gives an attempt half of what is left, so one attempt's share is 1 s.

The last line is `RESULT {json}`; docs/performance.md says what its figures mean.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tests.chaos import stack_world as world
from tests.chaos.failover_faults import Drain, Fault, Kill, Pause, Slow
from tests.chaos.failover_figures import FaultRun
from tests.chaos.failover_run import Times, run_fault
from tests.chaos.load_answer import Account
from tests.chaos.stack import DEADLINE_S, ChaosStack, open_chaos_stack
from trunkline_client import ClientSettings
from trunkline_local import Layout

MOST_OF_CAPACITY: Final = 0.3
AIM_OF_CAPACITY: Final = 0.27
"""Below the most, because arrivals at random come to a little more or less than their mean."""
MOST_RPS: Final = 60.0
"""Enough to find the first good answer within some 20 ms; more would only tell about the machine."""
CAPACITY_IN_FLIGHT: Final = 4
FAULTS: Final = ("kill", "pause", "slow", "drain")
SHOWN: Final = 5


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.failover",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="shorter phases: about two minutes instead of six")
    parser.add_argument(
        "--seconds-per-fault",
        type=float,
        help="how long each fault lasts, default 25 (8 with --quick); a pause 20 at least",
    )
    parser.add_argument("--faults", default=",".join(FAULTS), help="which, separated by commas (default: %(default)s)")
    parser.add_argument(
        "--slow-s", type=float, default=3.0, help="round trip of the slow region (default: %(default)s)"
    )
    parser.add_argument("--rps", type=float, help="offer this rate, where it is at most 30 %% of the capacity")
    parser.add_argument("--seed", type=int, default=None, help="of arrivals and questions (default: a new one)")
    parser.add_argument(
        "--layout",
        choices=[each.value for each in Layout],
        default=Layout.PER_SERVICE.value,
        help="default: %(default)s",
    )
    parser.add_argument("--answers", type=Path, help="write every answer there, a line of JSON each, to look into")
    parsed = parser.parse_args(argv)
    if unknown := set(parsed.faults.split(",")) - set(FAULTS):
        parser.error(f"unknown faults: {', '.join(sorted(unknown))}")
    return parsed


def times_of(asked: argparse.Namespace) -> Times:
    """Return how long each part lasts."""
    if asked.quick:
        return Times(warm_s=2.0, before_s=6.0, fault_s=asked.seconds_per_fault or 8.0, after_s=5.0)
    return Times(warm_s=5.0, before_s=20.0, fault_s=asked.seconds_per_fault or 25.0, after_s=20.0)


def fault_of(name: str, stack: ChaosStack, slow_s: float) -> Fault:
    """Return a fault of the victim by name."""
    if name == "slow":
        return Slow(stack, world.VICTIM, slow_s)
    kinds: dict[str, Callable[[ChaosStack, str], Fault]] = {"kill": Kill, "pause": Pause, "drain": Drain}
    return kinds[name](stack, world.VICTIM)


def offered_rps(capacity: Account, wanted_rps: float | None) -> float:
    """Return the rate to aim at: what was wanted, but never above the bound."""
    most_rps = AIM_OF_CAPACITY * capacity.full_rps
    return min(most_rps, wanted_rps or MOST_RPS)


def result(asked: argparse.Namespace, capacity: Account, runs: Sequence[FaultRun]) -> dict[str, Any]:
    """Return the figures of the whole run."""
    answers = [answer for run in runs for answer in run.answers]
    arrivals, seconds = sum(run.account.arrivals for run in runs), sum(run.account.seconds for run in runs)
    return {
        "requests": len(answers),
        "offered_rps": round(arrivals / seconds, 1) if seconds else 0.0,
        "capacity_rps": capacity.full_rps,
        "capacity_in_flight": CAPACITY_IN_FLIGHT,
        "client_errors": sum(answer.failed for answer in answers),
        "wrong_answers": sum(answer.right is False for answer in answers),
        "not_sent": sum(run.account.not_sent for run in runs),
        "deadline_ms": DEADLINE_S * 1000,
        "attempt_share_ms": DEADLINE_S * ClientSettings().share * 1000,
        "generator_lag_ms_p99": max((run.account.generator_lag_ms_p99 for run in runs), default=0.0),
        "generator_starved": any(run.account.starved for run in runs),
        "layout": asked.layout,
        "slow_round_trip_s": asked.slow_s,
        "cores": len(os.sched_getaffinity(0)),
        "seed": asked.seed,
        "faults": {run.name: run.figures() for run in runs},
    }


def write_answers(path: Path, runs: Sequence[FaultRun]) -> None:
    """Write every answer with its fault and its second since that began."""
    with path.open("w", encoding="utf-8") as file:
        for run in runs:
            for answer in run.answers:
                since_s = round(answer.at_s - run.moments.fault_s, 3)
                file.write(json.dumps({"fault": run.name, "since_s": since_s} | answer._asdict()) + "\n")


def speaker() -> Callable[[str], None]:
    """Return what prints progress, each line with the seconds since now."""
    began_s = time.monotonic()
    return lambda text: print(f"[{time.monotonic() - began_s:6.1f} s] {text}", file=sys.stderr, flush=True)


def show_problems(run: FaultRun, say: Callable[[str], None]) -> None:
    """Print the first answers that were no good, in full."""
    problems = [answer for answer in run.answers if not answer.good]
    for answer in problems[:SHOWN]:
        say(f"{run.name}: {answer.at_s - run.moments.fault_s:+.2f} s {json.dumps(answer._asdict())}")


async def main(asked: argparse.Namespace) -> dict[str, Any]:
    """Run it all; return the figures."""
    say, runs = speaker(), []
    with tempfile.TemporaryDirectory(prefix="trunkline-failover-") as folder:
        say(f"starting three regions, {asked.layout}; seed {asked.seed}")
        async with open_chaos_stack(Path(folder) / "run", Layout(asked.layout)) as stack:
            say("every question was answered as it should be; measuring capacity")
            seconds = 4.0 if asked.quick else 10.0
            capacity = await stack.capacity(in_flight=CAPACITY_IN_FLIGHT, seconds=seconds, seed=asked.seed)
            await stack.rehearse()
            rps = offered_rps(capacity, asked.rps)
            say(f"capacity {capacity.full_rps:.0f} full answers a second, offering {rps:.0f}")
            for name in asked.faults.split(","):
                fault = fault_of(name, stack, asked.slow_s)
                run = await run_fault(fault, times_of(asked), rps=rps, seed=asked.seed, say=say)
                show_problems(run, say)
                runs.append(run)
                say(f"{name}: waiting until everything is used and nothing degraded again")
                await stack.rehearse()
    if asked.answers:
        write_answers(asked.answers, runs)
    return result(asked, capacity, runs)


if __name__ == "__main__":
    wanted = arguments()
    wanted.seed = secrets.randbelow(1 << 31) if wanted.seed is None else wanted.seed
    print("RESULT " + json.dumps(asyncio.run(main(wanted))))
