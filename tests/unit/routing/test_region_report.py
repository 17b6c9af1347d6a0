"""Reports to admission: added up in bounded memory, told once, and never lost while admission is away."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.routing.world import EU

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendUnavailable, DomainError, Overloaded, invalid_field
from trunkline_mesh.limiter import CapacityLimiter
from trunkline_routing.edge import report_sums
from trunkline_routing.edge.region_report import LOOKS, RegionReporter
from trunkline_routing.edge.region_view import RegionView
from trunkline_routing.edge.report_sums import BUCKETS, MAX_SPAN_S, MAX_TENANTS_TOLD, Span, Sums, bucket_of
from trunkline_routing.edge.standing import NORMAL, Budget, Spending, Standing, Told
from trunkline_routing.edge.utilisation import Utilisation
from trunkline_tiers import RankShare, RankTable, default_tiers

TIERS = default_tiers()
REDUCED = quota_pb.SERVICE_LEVEL_REDUCED


@dataclass
class Admission:
    """Counts each number once, answers what it is told to, and can be away before or after it has counted."""

    told: Told = field(default_factory=lambda: Told(valid_s=10))
    refusing: DomainError | None = None
    losing_answers: bool = False
    counted: dict[int, Span] = field(default_factory=dict)
    sent: list[Span] = field(default_factory=list)
    third: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, span: Span) -> Told:
        self.sent.append(span)
        if len(self.sent) == 3:
            self.third.set()
        if self.refusing is not None:
            raise self.refusing
        self.counted.setdefault(span.sequence, span)
        if self.losing_answers:
            raise BackendUnavailable
        return self.told

    def calls(self) -> int:
        return sum(one.calls for span in self.counted.values() for one in span.tiers.values())


def reporter(admission: Admission, sums: Sums, standing: Standing | None = None) -> RegionReporter:
    utilisation = Utilisation(RegionView(), EU, TIERS)
    return RegionReporter(admission, sums, standing or Standing(), utilisation, every_s=0.001)


def test_times_fall_into_the_contracts_buckets() -> None:
    """Bucket i: up to 2^(i/2) ms, and above the one before; the last one everything above."""
    for index in range(BUCKETS - 1):
        assert bucket_of(2 ** (index / 2) / 1000) == index
        assert bucket_of(2 ** (index / 2) / 1000 * 1.001) == index + 1
    assert (bucket_of(0.0), bucket_of(1e9)) == (0, BUCKETS - 1)


def test_answers_and_failures_are_added_up() -> None:
    """By tier and by tenant; a time above the promise is slow, a batch has none."""
    sums = Sums(TIERS)
    sums.answered("acme", "enterprise", 0.2)
    sums.answered("acme", "enterprise", 0.4)
    sums.answered("acme", "enterprise", None)
    sums.failed("acme", "enterprise")
    sums.answered("globex", "no-such-tier", 0.4)
    sums.cost("acme", 120)
    sums.asked("initech")
    sums.shed("pro", 3)
    span = sums.take()
    enterprise = span.tiers["enterprise"]
    assert (enterprise.calls, enterprise.errors, enterprise.slow, sum(enterprise.latency_counts)) == (4, 1, 1, 2)
    assert (span.tiers["free"].calls, span.tiers["free"].slow) == (1, 0)
    assert (span.tiers["pro"].calls, span.tiers["pro"].errors) == (3, 3)
    acme = span.tenants["acme"]
    assert (acme.calls, acme.errors, acme.slow, acme.cost_micros) == (4, 1, 1, 120)
    assert span.tenants["initech"].calls == 0
    assert sums.take().tenants == {}


def test_tenants_beyond_a_reports_bound_come_with_the_next() -> None:
    """None is told twice."""
    sums = Sums(TIERS)
    for number in range(MAX_TENANTS_TOLD + 10):
        sums.cost(f"t{number}", 1)
    first, second = sums.take(), sums.take()
    assert (len(first.tenants), len(second.tenants)) == (MAX_TENANTS_TOLD, 10)
    assert not first.tenants.keys() & second.tenants.keys()
    assert (first.sequence, second.sequence) == (1, 2)


def test_memory_is_bounded_while_nobody_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiers are counted all the same."""
    monkeypatch.setattr(report_sums, "MAX_TENANTS_KEPT", 5)
    sums = Sums(TIERS)
    for number in range(50):
        sums.answered(f"t{number}", "pro", 0.1)
    span = sums.take()
    assert (len(span.tenants), span.tiers["pro"].calls) == (5, 50)


def test_a_span_keeps_to_the_contracts_bounds() -> None:
    """Also after an hour without an answer."""
    now_s = [0.0]
    sums = Sums(TIERS, clock=lambda: now_s[0])
    now_s[0] = 3_600.0
    assert sums.take().window_s == MAX_SPAN_S
    assert sums.take().window_s > 0


async def test_an_answer_brings_levels_and_budgets() -> None:
    """For whoever was reported."""
    admission, sums, standing = Admission(), Sums(TIERS), Standing()
    spent = Budget(Spending.SPENT, 1.0, 0.0)
    admission.told = Told({"pro": REDUCED}, {"acme": spent}, valid_s=10)
    sums.cost("acme", 1)
    await reporter(admission, sums, standing).report()
    assert (standing.level_of("pro"), standing.level_of("free")) == (REDUCED, NORMAL)
    assert standing.budget_of("acme") == spent


@given(steps=st.lists(st.sampled_from(["work", "report", "lose", "away", "back"]), max_size=60))
async def test_whatever_fails_each_request_is_counted_once(steps: list[str]) -> None:
    """Lost answers are sent again as they were; what failed to be sent comes with the next."""
    admission, sums = Admission(), Sums(TIERS)
    reports, made = reporter(admission, sums), 0
    for step in steps:
        if step == "work":
            sums.answered("acme", "pro", 0.1)
            made += 1
        elif step == "report":
            await reports.report()
        else:
            admission.losing_answers = step == "lose"
            admission.refusing = Overloaded() if step == "away" else None
    admission.losing_answers, admission.refusing = False, None
    await reports.report()
    await reports.report()
    assert admission.calls() == made
    by_sequence: dict[int, Span] = {}
    assert all(by_sequence.setdefault(span.sequence, span) is span for span in admission.sent)


async def test_a_report_that_is_refused_stops_none_behind_it() -> None:
    """It is dropped: it would be refused again."""
    admission, sums = Admission(refusing=invalid_field("tiers", "no")), Sums(TIERS)
    reports = reporter(admission, sums)
    sums.answered("acme", "pro", 0.1)
    await reports.report()
    admission.refusing = None
    sums.answered("acme", "pro", 0.1)
    await reports.report()
    assert list(admission.counted) == [2]
    assert reports.healthy


async def test_health_tells_whether_reports_are_answered() -> None:
    """A missing credential counts as silence."""
    admission = Admission(refusing=BackendUnavailable())
    reports = reporter(admission, Sums(TIERS))
    await reports.report()
    assert not reports.healthy
    admission.refusing = None
    await reports.report()
    assert reports.healthy


async def test_reports_go_on_until_they_are_cancelled() -> None:
    """About one every period, with several looks in each."""
    admission = Admission()
    reports = reporter(admission, Sums(TIERS))
    running = asyncio.create_task(reports.run())
    await admission.third.wait()
    running.cancel()
    await asyncio.wait((running,))
    assert [span.sequence for span in admission.sent[:3]] == [1, 2, 3]
    assert admission.sent[0].tiers["pro"].looks == LOOKS


def limiter() -> CapacityLimiter:
    return CapacityLimiter(max_concurrency=10, max_queue=0, max_queue_per_tenant=0)


def look(utilisation: Utilisation) -> dict[str, float]:
    return {tier: round(part, 3) for tier, part in utilisation.by_tier()}


async def test_a_tiers_utilisation_is_its_own_and_of_those_above() -> None:
    """Here; and of the region's other servers the same part of what they tell."""
    view, own = RegionView(), limiter()
    utilisation = Utilisation(view, EU, TIERS)
    assert look(utilisation) == {"free": 0.0, "pro": 0.0, "enterprise": 0.0}
    utilisation.on_limiter(own)
    deadline = Deadline.after(5)
    async with (
        own.slot(tenant="a1", rank=0, weight=2, deadline=deadline),
        own.slot(tenant="a2", rank=0, weight=2, deadline=deadline),
        own.slot(tenant="a3", rank=0, weight=2, deadline=deadline),
        own.slot(tenant="b", rank=1, weight=1, deadline=deadline),
        own.slot(tenant="c", rank=2, weight=1, deadline=deadline),
    ):
        assert look(utilisation) == {"free": 0.8, "pro": 0.2, "enterprise": 0.1}
        view.pressed(EU, 2.0)
        assert look(utilisation) == {"free": 2.0, "pro": 0.5, "enterprise": 0.25}
        view.pressed("us-east", 9.0)
        assert look(utilisation)["free"] == 2.0, "other regions say nothing of this one"
    assert look(utilisation)["enterprise"] == 0.0, "a full server whose work is another tier's is not theirs"


async def test_one_tenant_makes_no_tier_look_full() -> None:
    """Neither here, nor by what it does to the region's other servers."""
    view, own = RegionView(), limiter()
    utilisation = Utilisation(view, EU, TIERS)
    utilisation.on_limiter(own)
    deadline = Deadline.after(5)
    async with (
        own.slot(tenant="flood", rank=2, weight=9, deadline=deadline),
        own.slot(tenant="b", rank=0, weight=1, deadline=deadline),
    ):
        assert look(utilisation) == {"free": 0.35, "pro": 0.25, "enterprise": 0.25}
        view.pressed(EU, 2.0)
        assert look(utilisation) == {"free": 0.7, "pro": 0.5, "enterprise": 0.5}


async def test_a_flood_of_one_tenant_counts_as_nobodys_failure() -> None:
    """What it is refused behind its own line is not told as its tier's."""
    own = CapacityLimiter(max_concurrency=1, max_queue=2, max_queue_per_tenant=2)
    utilisation, sums = Utilisation(RegionView(), EU, TIERS), Sums(TIERS)
    utilisation.on_limiter(own)
    deadline = Deadline.after(60)

    async def call(tenant: str) -> None:
        async with own.slot(tenant=tenant, rank=0, weight=1, deadline=deadline):
            await asyncio.sleep(0)

    async with own.slot(tenant="other", rank=0, weight=1, deadline=deadline):
        flood = [asyncio.create_task(call("flood")) for _ in range(20)]
        await asyncio.sleep(0)
        assert own.waiting == 2
        RegionReporter(Admission(), sums, Standing(), utilisation, every_s=1).look()
    outcomes = await asyncio.gather(*flood, return_exceptions=True)
    assert sum(isinstance(one, Overloaded) for one in outcomes) == own.stats.overloaded == 18
    assert sums.take().tiers["free"].calls == 0


async def test_what_the_limiter_refuses_counts_as_failed() -> None:
    """By tier, each once: nobody knows the tenant of it here."""
    own, utilisation, sums = limiter(), Utilisation(RegionView(), EU, TIERS), Sums(TIERS)
    utilisation.on_limiter(own)
    reports = RegionReporter(Admission(), sums, Standing(), utilisation, every_s=1)
    deadline = Deadline.after(5)
    async with own.slot(tenant="a", rank=2, weight=10, deadline=deadline):
        for _ in range(3):
            with pytest.raises(Overloaded):
                await own.slot(tenant="b", rank=0, weight=1, deadline=deadline).__aenter__()
    reports.look()
    reports.look()
    span = sums.take()
    assert (span.tiers["free"].calls, span.tiers["free"].errors) == (3, 3)
    assert span.tiers["enterprise"].calls == 0


async def test_what_made_room_for_others_does_not_count_as_failed() -> None:
    """It ran on a borrowed slot."""
    table = RankTable((RankShare(0, 1, 5), RankShare(2, 1, 5)), preempt_after_s=0.001)
    own = CapacityLimiter(max_concurrency=2, max_queue=10, max_queue_per_tenant=5, table=table)
    utilisation, sums = Utilisation(RegionView(), EU, TIERS), Sums(TIERS)
    utilisation.on_limiter(own)
    deadline = Deadline.after(60)

    async def borrow() -> None:
        async with own.slot(tenant="a", rank=0, weight=1, deadline=deadline):
            await asyncio.Event().wait()

    borrowing = [asyncio.create_task(borrow()) for _ in range(2)]
    await asyncio.sleep(0)
    async with own.slot(tenant="b", rank=2, weight=1, deadline=deadline):
        RegionReporter(Admission(), sums, Standing(), utilisation, every_s=1).look()
    for one in borrowing:
        one.cancel()
    outcomes = await asyncio.gather(*borrowing, return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["CancelledError", "Preempted"]
    assert own.stats.preempted == 1
    assert [name for name, tier in sums.take().tiers.items() if tier.calls] == []
