"""Stage budgets: shares of what is left."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_mesh.deadline import Deadline
from trunkline_routing.edge.budgets import StageBudgets
from trunkline_routing.settings import RoutingSettings

BUDGETS = StageBudgets.of(RoutingSettings())
WHOLE_S = BUDGETS.embedding_s + BUDGETS.retrieval_s + BUDGETS.rerank_s + BUDGETS.reserve_s
NEAR = pytest.approx
EPSILON_S = 1e-6


@pytest.fixture(autouse=True, scope="module")
def still_clock() -> Iterator[None]:
    """Stop the clock of deadlines, so that a busy machine changes no figure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trunkline_mesh.deadline.time", SimpleNamespace(monotonic=lambda: 1000.0))
        yield


def test_the_defaults_are_those_of_the_contract() -> None:
    """10, 80, 150 and 150 ms at p99."""
    settings = RoutingSettings()
    assert (settings.admission_budget_s, settings.embedding_budget_s) == (0.010, 0.080)
    assert (settings.retrieval_budget_s, settings.rerank_budget_s) == (0.150, 0.150)


def test_with_the_sum_as_deadline_each_stage_gets_its_default() -> None:
    """Neither stretched nor shrunk."""
    deadline = Deadline.after(WHOLE_S)
    assert BUDGETS.embedding(deadline).remaining_s() == NEAR(0.080, abs=EPSILON_S)
    later = Deadline.after(WHOLE_S - 0.080)
    assert BUDGETS.retrieval(later, rerank=True).remaining_s() == NEAR(0.150, abs=EPSILON_S)
    last = Deadline.after(WHOLE_S - 0.230)
    assert BUDGETS.rerank(last).remaining_s() == NEAR(0.150, abs=EPSILON_S)


@given(factor=st.floats(0.2, 20))
def test_a_longer_deadline_stretches_and_a_shorter_one_shrinks_all_alike(factor: float) -> None:
    """In proportion, less the reserve that is always kept."""
    deadline = Deadline.after((WHOLE_S - BUDGETS.reserve_s) * factor + BUDGETS.reserve_s)
    assert BUDGETS.embedding(deadline).remaining_s() == NEAR(0.080 * factor, abs=EPSILON_S)


@given(left=st.floats(-1, 100))
def test_no_stage_outlasts_the_deadline_less_its_reserve(left: float) -> None:
    """A hop's expiry must still reach the caller as an answer."""
    deadline = Deadline.after(left)
    for stage in (
        BUDGETS.embedding(deadline),
        BUDGETS.retrieval(deadline, rerank=True),
        BUDGETS.retrieval(deadline, rerank=False),
        BUDGETS.rerank(deadline),
        BUDGETS.hop(deadline),
    ):
        assert stage.at_s <= deadline.at_s - BUDGETS.reserve_s + 1e-9
        assert stage.remaining_s() >= 0


def test_without_a_rerank_everything_is_retrievals() -> None:
    """What no later stage needs is not kept back."""
    left_s = BUDGETS.retrieval(Deadline.after(1.0), rerank=False).remaining_s()
    assert left_s == NEAR(1.0 - BUDGETS.reserve_s, abs=EPSILON_S)
