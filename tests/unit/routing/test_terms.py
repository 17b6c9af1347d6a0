"""What is left out of a request, and why: levels, switches, budgets."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import RegionEntry, TenantEntry
from trunkline_mesh.errors import BudgetSpent, DomainError, Overloaded, StageDisabled
from trunkline_routing.edge.standing import Budget, Spending, Standing, Told
from trunkline_routing.edge.terms import EVERYTHING, Cause, Reduction, Terms, TermsBook
from trunkline_tiers import default_tiers

NORMAL, REDUCED, EMERGENCY = (
    quota_pb.SERVICE_LEVEL_NORMAL,
    quota_pb.SERVICE_LEVEL_REDUCED,
    quota_pb.SERVICE_LEVEL_EMERGENCY,
)
STAGES = (
    trail_pb.STAGE_NAME_DECISION,
    trail_pb.STAGE_NAME_EMBEDDING,
    trail_pb.STAGE_NAME_RETRIEVAL,
    trail_pb.STAGE_NAME_RERANK,
    trail_pb.STAGE_NAME_WRITE,
)
LEVEL = trail_pb.DEGRADATION_REASON_LEVEL
DISABLED = trail_pb.DEGRADATION_REASON_STAGE_DISABLED
SPENT = trail_pb.DEGRADATION_REASON_BUDGET_SPENT


def terms(
    level: quota_pb.ServiceLevel.ValueType = NORMAL,
    *,
    off: Iterable[int] = (),
    off_in_region: Iterable[int] = (),
    budget: Budget | None = None,
    free: Iterable[str] = ("search",),
    asked: list[str] | None = None,
) -> Terms:
    standing = Standing()
    standing.told(("acme",), Told({"pro": level}, {"acme": budget} if budget else {}, valid_s=60))
    kept = frozenset(free)
    book = TermsBook(
        standing,
        default_tiers(),
        reduction=Reduction(0.5, 10.0),
        is_free=lambda stage: stage in kept,
        asked=(asked if asked is not None else []).append,
    )
    tenant = TenantEntry("acme", "pro", frozenset({"eu"}), disabled_stages=frozenset(off))
    return book.of(tenant, RegionEntry("eu-west", "eu", disabled_stages=frozenset(off_in_region)))


def switched(where: str, stage: int) -> Terms:
    """Switch a stage off for the tenant or in the region."""
    return terms(off=[stage]) if where == "tenant" else terms(off_in_region=[stage])


def test_in_quiet_times_everything_is_done() -> None:
    """One value for everybody."""
    assert terms() is EVERYTHING


def test_a_reduced_level_leaves_reranking_out() -> None:
    """Candidate sets are smaller, and decisions are remembered for longer."""
    found = terms(REDUCED)
    assert found.rerank == Cause(LEVEL, "rerank")
    assert (found.embedding, found.semantics, found.search, found.write) == (None, None, None, None)
    assert (found.level, found.candidates_part, found.cache_stretch) == (REDUCED, 0.5, 10.0)


def test_an_emergency_leaves_rules_and_caches() -> None:
    """Nothing that needs a model; writes go on."""
    found = terms(EMERGENCY)
    assert (found.rerank, found.embedding, found.semantics) == (
        Cause(LEVEL, "rerank"),
        Cause(LEVEL, "embedding"),
        Cause(LEVEL, "semantics"),
    )
    assert found.trusts_semantics, "what semantics decided before is a cache"
    assert (found.search, found.write, found.passages) == (None, None, None)


@pytest.mark.parametrize("where", ["tenant", "region"])
def test_a_switch_names_its_stage(where: str) -> None:
    """For the tenant and for the region alike."""
    assert switched(where, trail_pb.STAGE_NAME_RERANK).rerank == Cause(DISABLED, "rerank")
    embedding = switched(where, trail_pb.STAGE_NAME_EMBEDDING)
    assert embedding.embedding == embedding.semantics == embedding.passages == Cause(DISABLED, "embedding")
    decision = switched(where, trail_pb.STAGE_NAME_DECISION)
    assert (decision.semantics, decision.trusts_semantics) == (Cause(DISABLED, "decision"), False)
    with pytest.raises(StageDisabled) as refused:
        switched(where, trail_pb.STAGE_NAME_RETRIEVAL).require_search()
    assert refused.value.metadata == {"stage": "retrieval"}
    with pytest.raises(StageDisabled):
        switched(where, trail_pb.STAGE_NAME_WRITE).require_write(embeds=False)


def test_a_write_that_needs_no_vector_goes_on_without_embedding() -> None:
    """Deletes do, upserts do not."""
    found = terms(off=[trail_pb.STAGE_NAME_EMBEDDING])
    found.require_write(embeds=False)
    with pytest.raises(StageDisabled):
        found.require_write(embeds=True)


def test_a_spent_budget_leaves_what_is_free() -> None:
    """And is refused where nothing is left."""
    spent = Budget(Spending.SPENT, 1.0, 0.0)
    found = terms(budget=spent)
    assert (found.rerank, found.embedding, found.semantics) == (
        Cause(SPENT, "rerank"),
        Cause(SPENT, "embedding"),
        Cause(SPENT, "semantics"),
    )
    found.require_search()
    with pytest.raises(BudgetSpent):
        found.require_write(embeds=True)
    with pytest.raises(BudgetSpent):
        terms(budget=spent, free=()).require_search()
    everything = terms(budget=spent, free=("search", "embedding", "rerank", "write"))
    assert (everything.rerank, everything.embedding, everything.write) == (None, None, None)


def test_a_budget_that_is_nearly_spent_is_noted_alone() -> None:
    """With its part and its end; and whoever has one is told of again by the next report."""
    asked: list[str] = []
    found = terms(budget=Budget(Spending.WARNED, 0.85, 4e9), asked=asked)
    [note] = found.notes
    assert (note.unit, note.used_part, note.reset_time.seconds) == (quota_pb.LIMIT_UNIT_MICROS, 0.85, 4_000_000_000)
    assert (found.rerank, found.search) == (None, None)
    assert asked == ["acme"]


@given(
    level=st.sampled_from([NORMAL, REDUCED, EMERGENCY]),
    off=st.frozensets(st.sampled_from(STAGES)),
    spent=st.booleans(),
    free=st.frozensets(st.sampled_from(["search", "embedding", "rerank", "write"])),
)
def test_nothing_is_left_out_without_a_cause_that_holds(
    level: quota_pb.ServiceLevel.ValueType, off: frozenset[int], spent: bool, free: frozenset[str]
) -> None:
    """An operator's switch is told before a budget, a budget before a level; every cause can refuse."""
    budget = Budget(Spending.SPENT, 1.0, 0.0) if spent else None
    found = terms(level, off=off, budget=budget, free=free)
    refusals: dict[int, type[DomainError]] = {DISABLED: StageDisabled, SPENT: BudgetSpent, LEVEL: Overloaded}
    for cause, stage, paid in (
        (found.rerank, trail_pb.STAGE_NAME_RERANK, "rerank"),
        (found.embedding, trail_pb.STAGE_NAME_EMBEDDING, "embedding"),
        (found.search, trail_pb.STAGE_NAME_RETRIEVAL, "search"),
        (found.write, trail_pb.STAGE_NAME_WRITE, "write"),
    ):
        if stage in off:
            assert cause is not None
            assert cause.reason == DISABLED
        elif spent and paid not in free:
            assert cause is not None
            assert cause.reason == SPENT
        elif cause is not None:
            assert cause.reason == LEVEL
            assert level > NORMAL
        assert cause is None or isinstance(cause.refusal(), refusals[cause.reason])
    assert found.embedding is None or found.semantics is not None, "semantics need vectors"
