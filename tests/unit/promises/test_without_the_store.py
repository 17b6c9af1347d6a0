"""Reports, levels and budgets while the store is away: one replica's own view."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from tests.unit.promises.away import Alone, report

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline_admission import report_desk, report_queue
from trunkline_admission.budget_states import BudgetStates
from trunkline_admission.levels import Level
from trunkline_admission.levels_answer import LevelsAnswer
from trunkline_admission.objectives_answer import STALE_S, ObjectivesAnswer
from trunkline_admission.quota import Grant, Limits, LimitState, QuotaSource, TenantQuota, Unit
from trunkline_lease.charge import NOTHING
from trunkline_mesh.background import background
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable, FieldInvalid, TenantUnknown


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody counts in these tests, so nobody waits for it."""
    monkeypatch.setattr(report_desk, "STORE_WAIT_S", 0.0)


async def test_levels_follow_this_replicas_own_reports() -> None:
    """After 31 seconds of excess, told in the next answer; the tier above is untouched."""
    alone = Alone()
    for second in range(32):
        alone.now_s += 1
        answer = await alone.desk.take(report(second + 1, tier="free", utilisation=0.95))
        await alone.keeper.tick()

    answer = await alone.desk.take(report(100, tier="free", utilisation=0.95))
    assert [Level(told.level) for told in answer.levels] == [Level.EMERGENCY, Level.NORMAL, Level.NORMAL]
    told = await LevelsAnswer(alone.keeper).answer()
    assert [each.tier for each in told.levels] == ["free", "pro", "enterprise"]
    assert told.routers == 1
    assert Level(LevelsAnswer(alone.keeper).level_of("unheard-of")) is Level.NORMAL


async def test_levels_stay_while_nobody_reports() -> None:
    """No evidence is none of calm."""
    alone = Alone()
    for second in range(32):
        alone.now_s += 1
        await alone.desk.take(report(second + 1, utilisation=0.75))
        await alone.keeper.tick()
    for _ in range(600):
        alone.now_s += 1
        await alone.keeper.tick()

    assert alone.keeper.level_of("pro") is Level.REDUCED


async def test_a_level_survives_a_store_that_lost_everything() -> None:
    """What this replica knows is written anew."""
    alone = Alone()
    for second in range(32):
        alone.now_s += 1
        await alone.desk.take(report(second + 1, utilisation=0.95))
        await alone.keeper.tick()

    alone.away.answers = {
        "evidence": [int((alone.now_s + 1) * 1000), b"", b"", 1, [b"seconds", b"1", b"u/pro", b"0.95"]],
        "keep_levels": 1,
    }
    await alone.keeper.tick()

    script, _, args = alone.away.asked[-1]
    assert (script, args[0]) == ("keep_levels", "")
    assert json.loads(str(args[2]))["tiers"]["pro"]["level"] == Level.EMERGENCY


@pytest.mark.parametrize("garbage", [None, 7, [], [b"x"] * 5, [1, b"", b"{", 1, [b"odd"]]])
async def test_a_store_that_answers_garbage_is_as_good_as_away(garbage: object) -> None:
    """Levels go on from the replica's own view."""
    alone = Alone()
    alone.away.answers = {"evidence": garbage, "report": garbage, "accounts": garbage}
    await alone.desk.take(report(1))

    await alone.keeper.tick()

    assert alone.keeper.routers == 1
    with pytest.raises(BackendUnavailable):
        await alone.store.accounts(tiers=["pro"])


async def test_levels_that_cannot_be_read_are_replaced() -> None:
    """By the next judgement, from what this replica knows."""
    alone = Alone()
    seen = [int(alone.now_s * 1000), b"v1", b"not json", 1, [b"seconds", b"1"]]
    alone.away.answers = {"evidence": seen, "keep_levels": 1}

    await alone.keeper.tick()

    assert [script for script, _, _ in alone.away.asked] == ["evidence", "keep_levels"]
    assert alone.away.asked[-1][2][0] == "v1"


async def test_budgets_are_kept_alone() -> None:
    """By what this replica was told; a repeated report adds nothing."""
    alone = Alone()
    first = await alone.desk.take(report(1, ("spender", 85), ("acme", 10**9)))
    again = await alone.desk.take(report(1, ("spender", 85)))
    spent = await alone.desk.take(report(2, ("spender", 15)))

    assert [told.state for told in first.budgets] == [admission_pb.BUDGET_STATE_WARNED]
    assert [told.used_part for told in again.budgets] == [0.85]
    assert [told.state for told in spent.budgets] == [admission_pb.BUDGET_STATE_SPENT]


class NoLimits:
    """Limits of nobody."""

    async def take(self, *_args: object, **_named: object) -> Grant:
        """Grant nothing."""
        return Grant(NOTHING, QuotaSource.LOCAL)

    async def states(self, *_args: object, **_named: object) -> list[LimitState]:
        """Tell of none."""
        return []


async def test_a_budget_stands_among_the_limits() -> None:
    """By what this replica has heard while the store is away, by the store's sum when it is there."""
    alone = Alone()
    states = BudgetStates(NoLimits(), alone.store, alone.budgets)
    quota = TenantQuota("spender", "pro", 1, Limits(None, None), 0.5, budget_micros_per_month=100)
    await alone.desk.take(report(1, ("spender", 85)))

    heard = await states.states(quota)
    alone.away.answers = {"spent": 90}
    counted = await states.states(quota)

    assert [(each.unit, each.limit, each.used) for each in heard] == [(Unit.MICROS, 100, 85)]
    assert [each.used for each in counted] == [90]
    assert await states.states(replace(quota, budget_micros_per_month=0)) == []
    assert (await states.take(quota, NOTHING)).source is QuotaSource.LOCAL


async def test_unknown_and_foreign_tenants_are_left_out() -> None:
    """Names that the map does not have cost nothing; a tenant of another jurisdiction is not counted here."""
    alone = Alone()
    rows = [(f"unknown-{index}", 1) for index in range(1000)]
    await alone.desk.take(report(1, ("foreign", 5), *rows))

    alone.away.answers = {"report": [1, 1000, []]}
    worker = await counting(alone)

    assert worker["tenants"] == []


async def test_an_unknown_tier_counts_as_the_lowest() -> None:
    """Beside the lowest's own calls."""
    alone = Alone()
    request = report(1, tier="free", utilisation=0.2)
    request.tiers.append(admission_pb.TierReport(tier="new", calls=5, latency_counts=[5], utilisation=0.4))
    await alone.desk.take(request)

    told = (alone.windows.evidence(alone.now_s) or {})["free"]

    assert (told.calls, told.utilisation, told.latency_counts[0]) == (15, 0.4, 5)


async def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports behind the first one are added up, and are one."""
    monkeypatch.setattr(report_queue, "MAX_WAITING", 3)
    alone = Alone()
    for number in range(31):
        await alone.desk.take(report(number + 1))

    assert len(alone.queue) <= 4


async def test_a_report_out_of_bounds_is_refused() -> None:
    """Before anything is counted."""
    alone = Alone()
    with pytest.raises(FieldInvalid):
        await alone.desk.take(admission_pb.ReportRequest())

    assert len(alone.queue) == 0


async def test_promises_are_told_from_the_last_answer_for_a_while() -> None:
    """And then not at all: an old account would be taken for the present one."""
    alone = Alone()
    objectives = ObjectivesAnswer(alone.store, alone.tiers, alone.source, "eu-1", lambda: alone.now_s)
    with pytest.raises(BackendUnavailable):
        await objectives.answer("")
    alone.away.answers = {"accounts": [int(alone.now_s * 1000), [], [], [], [[], [], []]]}
    told = await objectives.answer("")
    assert [each.name for each in told.objectives] == ["free", "pro", "enterprise"]

    alone.away.answers = {}
    alone.now_s += STALE_S
    assert await objectives.answer("") == told
    alone.now_s += 1
    with pytest.raises(BackendUnavailable):
        await objectives.answer("")
    with pytest.raises(TenantUnknown):
        await objectives.answer("nobody")


@pytest.mark.parametrize(("lost", "told"), [([BackendTimeout()], [("eu-2", "spender", 60)]), ([], [])])
async def test_a_part_whose_answer_was_lost_was_counted_by_this_replica(
    lost: list[Exception], told: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the store had counted before goes to the home region if that was an attempt of ours."""
    monkeypatch.setattr(report_queue, "RETRY_S", 0.0)
    alone = Alone("eu-2")
    alone.away.failures = lost
    alone.away.answers = {"report": [0, int(alone.now_s * 1000), [60]]}

    await alone.desk.take(report(1, ("spender", 60)))
    await counting(alone)

    assert alone.costs.told == told
    assert len(alone.queue) == 0


async def counting(alone: Alone) -> dict[str, object]:
    """Let the queue bring its first report to the store; return what it brought."""
    async with background(alone.queue.run()):
        for _ in range(20):
            await asyncio.sleep(0)
    return dict(json.loads(str(next(args for script, _, args in alone.away.asked if script == "report")[0])))
