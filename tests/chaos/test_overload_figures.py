"""How an overload is judged."""

from collections import Counter

import pytest

from tests.chaos.overload_figures import PhaseRun, broken_promises, by_tier, jain, jain_of_equals, phase_figures
from tests.chaos.overload_load import schedule
from tests.chaos.overload_spec import OK, Call, Caller, OverloadSpec
from tests.chaos.overload_world import roomy_tiers
from trunkline_tiers import default_tiers, parse_tiers


def caller(tenant: str, tier: str = "pro", rps: float = 2.0, *, flooder: bool = False) -> Caller:
    """Return one that asks."""
    return Caller(tenant=tenant, tier=tier, token="t", rps=rps, flooder=flooder)


def free(tenant: str) -> Caller:
    """Return one of the lowest tier."""
    return caller(tenant, "free")


def calls(index: int, *outcomes: str, ms: float = 10.0) -> list[Call]:
    """Return calls of one caller."""
    return [Call(float(number), ms, index, outcome, 0.0) for number, outcome in enumerate(outcomes)]


def test_jains_index_is_1_for_equals_and_1_to_n_for_one_who_has_all() -> None:
    """As Jain, Chiu and Hawe define it."""
    assert jain([3, 3, 3]) == pytest.approx(1)
    assert jain([6, 0, 0]) == pytest.approx(1 / 3)
    assert jain([]) == 1


def test_only_equals_are_compared() -> None:
    """Tenants of another tier, demand or conduct may get more; groups with hardly an answer tell nothing."""
    run = PhaseRun(
        "x",
        [
            caller("a"),
            caller("b"),
            caller("c", rps=9),
            caller("f", flooder=True),
            caller("e", "free"),
            caller("g", "free"),
        ],
        [*calls(0, OK, OK, OK), *calls(1, OK, OK, "OVERLOADED"), *calls(2, *[OK] * 9), *calls(4, OK)],
        1.0,
    )
    assert jain_of_equals(run) == pytest.approx(25 / 26, abs=1e-4)


def test_flooders_are_no_part_of_what_was_promised() -> None:
    """What a flooder gets is told apart, and a refused flooder breaks no promise."""
    run = PhaseRun(
        "x",
        [caller("a"), caller("f", flooder=True)],
        [*calls(0, *[OK] * 20, ms=50.0), *calls(1, OK, *["OVERLOADED"] * 9)],
        2.0,
    )
    figures = phase_figures(run, capacity_rps=10.0, quiet_p95_ms={"pro": 40.0})
    assert figures["tiers"] == {
        "pro": {"p95_ms": 50.0, "error_rate": 0.0, "goodput_rps": 10.0, "quiet_p95_ms": 40.0, "p95_to_quiet": 1.25}
    }
    assert figures["flood"] == {"offered_rps": 5.0, "goodput_rps": 0.5}
    assert figures["goodput_to_capacity"] == pytest.approx(3 / 2.0 / 10.0), "only what came before the phase's end"
    assert broken_promises(figures, default_tiers()) == []


def test_a_broken_promise_is_named() -> None:
    """Too slow, or too many failed."""
    run = PhaseRun("x", [caller("a", "enterprise")], [*calls(0, *[OK] * 9, "OVERLOADED", ms=400.0)], 1.0)
    broken = broken_promises({"tiers": by_tier(run, {})}, default_tiers())
    assert len(broken) == 2
    assert "400.0 ms is above 300 ms" in broken[0]
    assert "10.000% failed, 0.100% may" in broken[1]


def test_the_same_seed_gives_the_same_arrivals() -> None:
    """A run can be repeated, and each caller asks as often as it should."""
    spec = OverloadSpec(
        target="h:1",
        callers=(caller("a", rps=50), caller("b", rps=25)),
        text="?",
        collection="c",
        deadlines_s={"pro": 1},
        seed=7,
        seconds=4,
    )
    moments = schedule(spec, 10.0)
    assert moments == schedule(spec, 10.0)
    assert moments == sorted(moments)
    assert all(10.0 <= at_s <= 14.0 for at_s, _ in moments)
    assert Counter(index for _, index in moments) == {0: 200, 1: 100}


def test_the_roomy_tiers_keep_promises_and_weights() -> None:
    """Only quotas and in-flight caps are out of the way."""
    roomy, plain = parse_tiers(roomy_tiers()), default_tiers()
    for name in plain.tiers:
        assert roomy.tiers[name].objective == plain.tiers[name].objective
        assert roomy.tiers[name].capacity.weight == plain.tiers[name].capacity.weight
        assert roomy.tiers[name].capacity.queue_length == plain.tiers[name].capacity.queue_length
