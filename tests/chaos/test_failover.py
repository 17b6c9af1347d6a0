"""The figures of a fault, from answers that are known."""

from __future__ import annotations

import math

import pytest

from tests.chaos import stack_world as world
from tests.chaos.failover import AIM_OF_CAPACITY, MOST_OF_CAPACITY, MOST_RPS, arguments, offered_rps, result, times_of
from tests.chaos.failover_figures import FaultRun, Moments, bound_groups
from tests.chaos.load_answer import Account, Answer
from tests.chaos.load_spec import LoadSpec

EU, US = world.EU, world.US
ACCOUNT = Account(40.0, 60, 0, 60, 1.5, 1.5, 1.5, 0.5, 2.0, 3.0, 1.0, starved=False)
MOMENTS = Moments(start_s=0.0, fault_s=10.0, undo_s=20.0, returned_s=22.0, settled_s=25.0)


def _answer(at_s: float, stream: str, *, router: str = EU, ms: float = 10.0, outcome: str = "OK") -> Answer:
    right = True if outcome == "OK" else None
    return Answer(at_s, 0.0, ms, stream, "atlas/x/cached", outcome, right, router, (router,), (), (), (), 1, 0.0, 0, "")


def _run(*disturbed: Answer) -> FaultRun:
    """A second by second, one caller is served by the victim and one by another region, but for what is given."""
    usual = [_answer(at_s, "near") for at_s in (*range(10), *range(25, 30))]
    others = [_answer(at_s, "far", router=US) for at_s in range(30)]
    return FaultRun("kill", EU, MOMENTS, sorted([*usual, *others, *disturbed]), ACCOUNT)


def test_what_the_victim_serves_is_measured() -> None:
    """A caller's collection is the victim's if the victim served at least four fifths of it before."""
    near = [_answer(0.0, "near")] * 8 + [_answer(0.0, "near", router=US)] * 2
    mixed = [_answer(0.0, "mixed")] * 7 + [_answer(0.0, "mixed", router=US)] * 3
    assert bound_groups([*near, *mixed], EU, Answer.met) == {("near", "atlas")}


def test_the_first_good_answer_is_of_a_request_that_was_the_victims() -> None:
    """Requests sent before the fault, of other callers, or that failed, are no proof of failover."""
    failed = _answer(10.1, "near", outcome="UNAVAILABLE")
    moved = _answer(10.2, "near", router=US, ms=600.0)
    figures = _run(_answer(9.9, "near", ms=200.0), failed, moved).figures()
    assert figures["first_good_ms"] == pytest.approx(800.0)
    assert (figures["first_good_router_ms"], figures["first_good_store_ms"]) == (figures["first_good_ms"], 0.0)
    assert figures["errors"] == 1
    assert figures["outcomes"] == {"UNAVAILABLE": 1}
    assert figures["victim_share_before"] == 1.0
    assert figures["victim_share_during"] == 0.0


def test_the_return_is_told_for_each_way_of_serving() -> None:
    """Its own router answers callers, and other routers use its documents; never is None, before it is ready is 0."""
    ways = _run(_answer(21.0, "near")).figures()
    assert (ways["back_in_use_s"], ways["back_as_router_s"], ways["back_as_store_s"]) == (0.0, 0.0, None)
    store = _answer(26.0, "far", router=US)._replace(regions=(EU,))
    both = _run(store).figures()
    assert (both["back_in_use_s"], both["back_as_router_s"], both["back_as_store_s"]) == (3.01, 3.01, 4.01)


def test_when_its_callers_are_home_again_is_told() -> None:
    """The first answer after the return says little while most callers still go elsewhere."""
    away = [_answer(22.5 + tenth / 10, "near", router=US) for tenth in range(20)]
    run = _run(_answer(22.1, "near"), *away)
    assert run.figures()["back_in_use_s"] == pytest.approx(0.11)
    assert run.figures()["at_home_s"] == pytest.approx(3.01)
    assert _run(*(_answer(29.0 + tenth / 10, "near", router=US) for tenth in range(9))).figures()["at_home_s"] is None


def test_a_victim_that_is_never_left_shows() -> None:
    """How long the victim went on answering what was asked after the fault is told."""
    assert _run().figures()["left_s"] == 0.0
    assert _run(_answer(14.0, "near", ms=500.0)).figures()["left_s"] == 4.5
    assert _run().figures()["first_good_ms"] is None


@pytest.mark.parametrize(("full_rps", "wanted_rps"), [(1_000.0, None), (100.0, None), (100.0, 90.0), (1_000.0, 5.0)])
def test_the_offered_rate_never_passes_its_bound(full_rps: float, wanted_rps: float | None) -> None:
    """Whatever is asked for, at most 30 % of the capacity is offered."""
    capacity = Account(1.0, 1, 0, 1, 1.0, full_rps, full_rps, 0.0, 0.0, 0.0, 0.0, starved=False)
    rps = offered_rps(capacity, wanted_rps)
    assert rps == min(AIM_OF_CAPACITY * full_rps, wanted_rps or MOST_RPS)
    assert rps < MOST_OF_CAPACITY * full_rps


def test_the_result_has_what_was_promised() -> None:
    """Totals over all faults, the bound of an attempt, and each fault's figures by name."""
    asked = arguments(["--quick", "--seed", "7", "--faults", "kill"])
    total = result(asked, ACCOUNT, [_run(_answer(11.0, "near", outcome="DEADLINE_EXCEEDED"))])
    assert (total["client_errors"], total["wrong_answers"], total["not_sent"]) == (1, 0, 0)
    assert (total["deadline_ms"], total["attempt_share_ms"]) == (2_000.0, 1_000.0)
    assert set(total["faults"]) == {"kill"}
    assert times_of(asked).fault_s < times_of(arguments([])).fault_s
    assert math.isfinite(total["offered_rps"])
    with pytest.raises(SystemExit):
        arguments(["--faults", "flood"])


def test_the_mix_reaches_every_region_and_keeps_to_the_walls() -> None:
    """Each region is some caller's nearest, rates add up, and no tenant may be answered outside its jurisdictions."""
    addresses = {region: f"127.0.0.1:{port}" for port, region in enumerate(world.REGIONS, 1)}
    tokens = {seed.tenant_id: "jwt" for seed in world.TENANTS}
    streams = world.streams(tokens, addresses, 50.0)
    assert LoadSpec(streams=streams, seed=1).offered_rps == pytest.approx(50.0)
    assert {stream.routers[0].partition("=")[0] for stream in streams} == set(world.REGIONS)
    walls = {seed.tenant_id: set(seed.jurisdictions) for seed in world.TENANTS}
    where = {US: "us", EU: "eu", world.ASIA: "apac"}
    for stream in streams:
        assert {where[region] for region in stream.regions} <= walls[stream.tenant]
        assert {router.partition("=")[0] for router in stream.routers} == stream.regions
        assert len({question.name for question in stream.questions}) == len(stream.questions)
