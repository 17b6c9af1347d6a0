"""A day of admission in three regions, with the product's own quota and limiter code under a virtual clock.

    python -m tests.sim.admission [--seed N] [--scale 0.01] [--hours 24] [--between H H] [--minutes-full 5] [--png FILE]
                                   [--quick]

10,000 tenants ask for a hundredth of 1,000 requests a second in each region, with peaks, viral customers, a swarm of
free tenants and GPUs that come and go; then five minutes of it at the full rate. Quota is the product's from the
routers' lease holders to the store's Lua scripts, capacity is the product's limiter in every server; only the network,
the work and the clock are simulated. Books of their own watch the laws (`tests/sim/laws.py`). Equal arguments give an
equal `RESULT`, but for the times that the run itself takes. The last line is `RESULT {json}`; docs/performance.md says
what its figures mean.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.sim.events import plan_events
from tests.sim.fleet import FleetPlan
from tests.sim.picture import draw
from tests.sim.plan import RunPlan, RunResult
from tests.sim.quota_parts import QuotaTimes
from tests.sim.report import figures, result_of
from tests.sim.simulation import Simulation
from tests.sim.world import RPS_PER_REGION, make_world
from trunkline_tiers import default_tiers

TENANTS: Final = 10_000
QUICK_H: Final = 0.25
DAY_H: Final = 24.0
FULL_STARTS_H: Final = 13.0
"""Hour (UTC) at which the minutes at full rate begin: Europe's peak."""
SPANS: Final = 144
SLOW: Final = QuotaTimes(
    valid_s=1800.0, horizon_s=900.0, sweep_interval_s=5.0, recheck_s=30.0, region_valid_s=1800.0, share_valid_s=60.0
)
"""Leases at a fraction of the rate: stretched, so that one still serves several requests."""


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.sim.admission", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=5, help="of everything that is drawn (default: %(default)s)")
    parser.add_argument("--scale", type=float, default=0.01, help="part of the full rate (default: %(default)s)")
    parser.add_argument("--hours", type=float, default=DAY_H, help="length of the scaled day (default: %(default)s)")
    parser.add_argument(
        "--between",
        type=float,
        nargs=2,
        metavar="HOUR",
        help="of the scaled day with its events, run these hours alone",
    )
    parser.add_argument("--minutes-full", type=float, default=5.0, help="minutes at full rate after it (default: 5)")
    parser.add_argument("--png", type=Path, help="write a picture of the day there")
    parser.add_argument("--quick", action="store_true", help="a quarter of an hour, and no full rate")
    parsed = parser.parse_args(argv)
    if not 0 < parsed.scale <= 1 or not 0 < parsed.hours <= DAY_H or parsed.minutes_full < 0:
        parser.error("--scale is 0 to 1, --hours 0 to 24, --minutes-full at least 0")
    begins_h, ends_h = parsed.between or (0.0, DAY_H)
    if not 0 <= begins_h < ends_h <= DAY_H or (parsed.between and parsed.hours != DAY_H):
        parser.error("--between is two hours of a whole day")
    if parsed.quick:
        parsed.hours, parsed.minutes_full = min(parsed.hours, QUICK_H), 0.0
    return parsed


def fleet_plan(scale: float) -> FleetPlan:
    """Return GPUs for that much traffic: at the mean rate about half of them are busy."""
    rate = RPS_PER_REGION * scale
    slots = 2 if rate < 100 else 16
    busy = rate * 0.1
    return FleetPlan(slots, least=max(1, round(0.7 * busy / slots)), most=max(3, round(4 * busy / slots)))


def day(args: argparse.Namespace) -> RunResult:
    """Run the scaled day, or the part of it that is asked for, around Europe's peak."""
    world = make_world(TENANTS, args.scale, args.seed)
    start_s = 0.0 if args.hours == DAY_H else max(0.0, FULL_STARTS_H - args.hours / 2) * 3600
    length_s = args.hours * 3600
    begins_h, ends_h = args.between or (start_s / 3600, start_s / 3600 + args.hours)
    plan = RunPlan(
        "scaled day",
        begins_h * 3600,
        (ends_h - begins_h) * 3600,
        args.seed,
        SPANS,
        fleet_plan(args.scale),
        _store_slots(args.scale),
        SLOW,
    )
    return Simulation(world, plan, plan_events(world, start_s, length_s, args.seed), say).run()


def full(args: argparse.Namespace) -> RunResult:
    """Run minutes at full rate, with the leases' default times."""
    world = make_world(TENANTS, 1.0, args.seed)
    start_s, length_s = FULL_STARTS_H * 3600, args.minutes_full * 60
    plan = RunPlan("full rate", start_s, length_s, args.seed, 30, fleet_plan(1.0), _store_slots(1.0))
    return Simulation(world, plan, plan_events(world, start_s, length_s, args.seed), say).run()


def _store_slots(scale: float) -> int:
    """Return slots of a region's vector store: twice what the day's peak needs."""
    return max(8, round(RPS_PER_REGION * scale * 0.036 * 4))


def say(text: str) -> None:
    """Tell progress."""
    print(text, file=sys.stderr, flush=True)


def tell(run: RunResult) -> None:
    """Tell what came of one run: nobody who breaks off the next one loses it."""
    for example in run.laws.examples:
        say(f"{run.plan.name}: {example}")
    say(f"{run.plan.name}: {json.dumps(figures(run))}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run, draw and print; 1 if a law was broken."""
    args = arguments(argv)
    scaled = day(args)
    tell(scaled)
    if args.png is not None:
        draw(scaled, default_tiers(), args.png)
        say(f"picture: {args.png}")
    runs = [scaled]
    if args.minutes_full:
        runs.append(full(args))
        tell(runs[-1])
    result: dict[str, Any] = result_of(args, runs)
    print("RESULT " + json.dumps(result))
    return 1 if result["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
