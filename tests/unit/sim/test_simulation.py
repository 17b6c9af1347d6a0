"""A short simulation, as `python -m tests.sim.admission` runs it: lawful, and the same from the same seed."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.sim.admission import SLOW, arguments, fleet_plan
from tests.sim.events import EventKind, plan_events
from tests.sim.picture import draw
from tests.sim.plan import RunPlan, RunResult
from tests.sim.report import result_of
from tests.sim.scale import scaled_tiers
from tests.sim.simulation import Simulation
from tests.sim.traffic import Traffic
from tests.sim.world import DAY_S, MIX, RPS_PER_REGION, make_world

from trunkline_tiers import default_tiers

TENANTS = 2000
START_S = 12.9 * 3600
LENGTH_S = 300.0
TIMES = ("wall_s", "cpu_s", "run_wall_s", "run_cpu_s", "us_per_request")


def simulated(seed: int) -> tuple[argparse.Namespace, RunResult]:
    """Run five minutes of 2,000 tenants."""
    world = make_world(TENANTS, 0.05, seed)
    plan = RunPlan("short", START_S, LENGTH_S, seed, 5, fleet_plan(0.01), 8, SLOW)
    run = Simulation(world, plan, plan_events(world, START_S, LENGTH_S, seed), lambda _: None).run()
    return arguments(["--seed", str(seed)]), run


def night(pool_burst_s: int) -> RunResult:
    """Run two minutes and a half of pools that hold so little that a night of that length empties one."""
    world, length_s = make_world(TENANTS, 0.05, 11), LENGTH_S / 2
    world = replace(world, tiers=world.tiers.model_copy(update={"pool_burst_s": pool_burst_s}))
    plan = RunPlan("night", START_S, length_s, 11, 5, fleet_plan(0.01), 8, SLOW)
    return Simulation(world, plan, plan_events(world, START_S, length_s, 11), lambda _: None).run()


def timeless(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name not in TIMES}


@pytest.fixture(scope="module")
def first() -> tuple[argparse.Namespace, RunResult]:
    return simulated(11)


def test_a_short_run_breaks_no_law(first: tuple[argparse.Namespace, RunResult]) -> None:
    """Nothing over-granted, nobody starved, no slot idle while somebody waits."""
    _, run = first
    assert run.outcomes.requests > 3000
    assert run.laws.total == 0, run.laws.examples


def test_equal_seeds_give_equal_results(first: tuple[argparse.Namespace, RunResult]) -> None:
    """Everything but the run's own time follows from the seed."""
    again = simulated(11)
    assert timeless(result_of(again[0], [again[1]])) == timeless(result_of(first[0], [first[1]]))


def test_a_pool_that_is_lent_comes_back_in_time() -> None:
    """Customers of pro use up their pool and borrow: what they do not need is back, and no law of pools is broken."""
    run = night(60)
    assert any(event.kind is EventKind.BATCH for event in run.events)
    assert run.laws.total == 0, run.laws.examples
    assert run.pool_reclaims_s
    assert max(run.pool_reclaims_s) <= run.reclaim_bound_s


def test_a_run_too_short_to_empty_a_pool_has_no_night(first: tuple[argparse.Namespace, RunResult]) -> None:
    """Pools of four hours are not emptied within minutes: that would take more than all other traffic."""
    assert not any(event.kind is EventKind.BATCH for event in first[1].events)


def test_other_seeds_give_other_days() -> None:
    """The traffic of another seed differs."""
    worlds = [make_world(300, 0.01, seed) for seed in (1, 2)]
    arrivals = [next(Traffic(world, (), 1).spans(0.0, 60.0)) for world in worlds]
    assert arrivals[0].at_s != arrivals[1].at_s


def test_a_picture_is_drawn(first: tuple[argparse.Namespace, RunResult], tmp_path: Path) -> None:
    """The picture is a PNG file."""
    path = tmp_path / "day.png"
    draw(first[1], default_tiers(), path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_world_has_the_mix_and_the_rate_that_it_should() -> None:
    """Tenants are 550 to 400 to 50, and ask for the scaled rate of three regions together."""
    world = make_world(10_000, 0.01, 3)
    for tier, part in MIX.items():
        assert sum(tenant.tier == tier for tenant in world.tenants) == part * 10
    assert world.pairs.rps.sum() == pytest.approx(3 * RPS_PER_REGION * 0.01)
    heaviest = sorted((tenant.requests_per_day for tenant in world.tenants), reverse=True)
    assert sum(heaviest[:1000]) > 0.5 * sum(heaviest)


def test_scaled_limits_keep_their_ratio() -> None:
    """A hundredth of the rate has a hundredth of the limits, but never less than a tenant can hold."""
    small, whole = (scaled_tiers(default_tiers(), scale, 10_000 / 3) for scale in (0.01, 1.0))
    for tier in ("pro", "enterprise"):
        day, minute = small.tiers[tier].tenant, whole.tiers[tier].tenant
        assert day.requests_per_day * 100 == minute.requests_per_day
        assert day.requests_per_minute * 100 == pytest.approx(minute.requests_per_minute)
        assert small.tiers[tier].pool.requests_per_day * 100 == pytest.approx(whole.tiers[tier].pool.requests_per_day)
    assert small.tiers["free"].tenant.requests_per_day == 10
    assert all(tier.tenant.burst_requests >= 4 for tier in small.tiers.values())


def test_viral_customers_ask_for_ten_times_their_baseline() -> None:
    """While a viral event holds, its customer comes about ten times as often."""
    world = make_world(1000, 0.1, 4)
    events = plan_events(world, 0.0, DAY_S, 4)
    viral = next(event for event in events if event.kind is EventKind.VIRAL)
    counts = []
    for with_events in ((), (viral,)):
        spans = Traffic(world, with_events, 4).spans(viral.start_s, viral.end_s - viral.start_s)
        counts.append(sum(span.tenant.count(viral.tenants[0]) for span in spans))
    assert 8 * counts[0] < counts[1] < 12 * counts[0] + 40
