"""What admission told last: how long it holds, and what outlives it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_routing.edge import standing as standing_module
from trunkline_routing.edge.report_client import told_of
from trunkline_routing.edge.standing import MAX_VALID_S, NORMAL, Budget, Spending, Standing, Told

REDUCED = quota_pb.SERVICE_LEVEL_REDUCED


class Time:
    """A clock that is set by hand."""

    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_level_ends_with_the_answer_that_told_it() -> None:
    """Without another answer everything is normal."""
    time = Time()
    standing = Standing(clock=time)
    standing.told((), Told({"pro": REDUCED}, valid_s=10))
    assert (standing.level_of("pro"), standing.level_of("free")) == (REDUCED, NORMAL)
    time.now_s += 9.9
    assert standing.level_of("pro") == REDUCED
    time.now_s += 0.2
    assert standing.level_of("pro") == NORMAL
    standing.told((), Told({"pro": REDUCED}, valid_s=1e9))
    time.now_s += MAX_VALID_S
    assert standing.level_of("pro") == NORMAL, "no answer holds for ever"


def test_what_a_later_version_tells_counts_as_far_as_it_is_understood() -> None:
    """A worse level than the worst known is at least that; an unknown state of a budget goes by its spent part."""
    answer = admission_pb.ReportResponse(
        levels=[admission_pb.TierLevel(tier="pro", level=quota_pb.ServiceLevel.ValueType(9))],
        budgets=[
            admission_pb.TenantBudget(tenant_id=name, state=admission_pb.BudgetState.ValueType(9), used_part=part)
            for name, part in (("nearly", 0.9), ("wholly", 1.0))
        ],
    )
    answer.valid_duration.seconds = 10
    standing = Standing()
    standing.told(("nearly", "wholly"), told_of(answer))

    assert standing.level_of("pro") >= quota_pb.SERVICE_LEVEL_EMERGENCY
    found = [standing.budget_of(name) for name in ("nearly", "wholly")]
    assert [each and each.state for each in found] == [Spending.WARNED, Spending.SPENT]


def test_a_later_answer_replaces_the_one_before() -> None:
    """All tiers' levels at once."""
    standing = Standing(clock=Time())
    standing.told((), Told({"pro": REDUCED}, valid_s=10))
    standing.told((), Told({"free": REDUCED, "pro": NORMAL}, valid_s=10))
    assert (standing.level_of("pro"), standing.level_of("free")) == (NORMAL, REDUCED)


def test_a_budget_outlives_silence_and_ends_with_its_month() -> None:
    """Money that is spent does not come back because nobody answers."""
    time, wall = Time(), Time()
    standing = Standing(clock=time, wall_clock=wall)
    spent = Budget(Spending.SPENT, 1.2, resets_at_s=2_000.0)
    standing.told(("acme",), Told(budgets={"acme": spent}, valid_s=10))
    time.now_s += 500
    assert standing.budget_of("acme") == spent
    wall.now_s = 2_000.0
    assert standing.budget_of("acme") is None


def test_a_budget_that_was_raised_is_forgotten() -> None:
    """Who was reported and is not named has nothing to be told; who was not reported stays."""
    standing = Standing()
    spent = Budget(Spending.SPENT, 1.0, 0.0)
    standing.told(("acme", "globex"), Told(budgets={"acme": spent, "globex": spent}, valid_s=10))
    standing.told(("acme",), Told(valid_s=10))
    assert (standing.budget_of("acme"), standing.budget_of("globex")) == (None, spent)


@given(names=st.lists(st.integers(0, 200).map(str), max_size=300))
def test_memory_is_bounded(names: list[str]) -> None:
    """However many tenants spend their budgets."""
    bound, standing_module.MAX_BUDGETS = standing_module.MAX_BUDGETS, 50  # type: ignore[misc]
    try:
        standing = Standing()
        for name in names:
            standing.told((name,), Told(budgets={name: Budget(Spending.WARNED, 0.9, 0.0)}, valid_s=1))
        held = [name for name in set(names) if standing.budget_of(name) is not None]
        assert len(held) == min(50, len(set(names)))
    finally:
        standing_module.MAX_BUDGETS = bound  # type: ignore[misc]
