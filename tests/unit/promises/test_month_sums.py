"""Sums of months: never less than before, given back to a store that has lost them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.promises.away import Alone, report

from trunkline_admission import report_desk
from trunkline_admission.month_keeper import MAX_SUMS, MonthKeeper
from trunkline_admission.month_sums import MonthSum, MonthSums
from trunkline_mesh.errors import BackendUnavailable


def test_a_store_that_knows_less_than_before_takes_nothing_back() -> None:
    """Spent 1,000, then an empty store and a cost of 5: it is 1,005, and the store is to be told."""
    sums = MonthSums()
    sums.learn("acme", "m", 1000)
    sums.add("acme", "m", 5)
    sums.settle("acme", "m", 5, 5, counted=True)

    assert sums.spent("acme", "m") == 1005
    assert sums.lost(10) == [MonthSum("acme", "m", 1005)]
    sums.given_back(sums.lost(10))
    assert sums.lost(10) == []
    assert sums.spent("acme", "next") == 0


def test_a_cost_that_was_read_before_it_was_known_to_be_counted_counts_once() -> None:
    """The store's word has it already, while its own answer is still on the way."""
    sums = MonthSums()
    sums.add("acme", "m", 60)
    sums.learn("acme", "m", 60)
    assert sums.spent("acme", "m") == 60
    sums.settle("acme", "m", 60, 60, counted=True)
    assert sums.spent("acme", "m") == 60
    assert sums.lost(1) == []


class Replica:
    """One replica of a law: its sums, and what it has added and not brought yet."""

    def __init__(self) -> None:
        self.sums = MonthSums()
        self.waiting: list[int] = []


@given(st.lists(st.tuples(st.sampled_from(["spend", "count", "lose", "give back", "read"]), st.integers(0, 1))))
def test_nobody_ever_knows_more_than_was_spent(steps: list[tuple[str, int]]) -> None:
    """Nor less than before, whatever is lost; what all replicas have counted without a loss is known exactly."""
    replicas, store, spent, losses = (Replica(), Replica()), 0, 0, 0
    for step, index in steps:
        one = replicas[index]
        before = [each.sums.spent("acme", "m") for each in replicas]
        if step == "spend":
            one.sums.add("acme", "m", 7)
            one.waiting.append(7)
            spent += 7
        elif step == "count" and one.waiting:
            store += one.waiting.pop()
            one.sums.settle("acme", "m", 7, store, counted=True)
        elif step == "lose":
            store, losses = 0, losses + 1
            for each in replicas:
                each.sums.lose_all()
        elif step == "give back":
            found = one.sums.lost(1)
            store = max([store, *(each.micros for each in found)])
            one.sums.given_back(found)
        elif step == "read":
            one.sums.learn("acme", "m", store)
        after = [each.sums.spent("acme", "m") for each in replicas]
        assert all(old <= new <= spent for old, new in zip(before, after, strict=True))
        assert losses or store + sum(sum(each.waiting) for each in replicas) == spent


async def test_another_mark_is_another_store() -> None:
    """All that this replica knows goes back to it, in small steps; nothing does while the store is the one it was."""
    alone = Alone()
    keeper = MonthKeeper(alone.store, alone.budgets.sums)
    for index in range(MAX_SUMS + 1):
        alone.budgets.sums.learn(f"t{index}", "m", 100 + index)
    alone.away.answers = {"months": [b"first", 0]}
    for _ in range(3):
        await keeper.tick()
    assert [len(args) for _, _, args in alone.away.asked] == [2, 2, 2]

    alone.away.answers = {"months": [b"second", 1]}
    alone.away.asked.clear()
    await keeper.tick()
    await keeper.tick()

    assert [(len(args) - 2) // 3 for _, _, args in alone.away.asked] == [0, MAX_SUMS, 1, 0]
    assert list(alone.away.asked[2][2][2:]) == [2, f"t{MAX_SUMS}", 100 + MAX_SUMS]


async def test_what_could_not_be_given_back_goes_with_the_next_look() -> None:
    """A store that is away again is no end of it."""
    alone = Alone()
    keeper = MonthKeeper(alone.store, alone.budgets.sums)
    alone.budgets.sums.learn("acme", "m", 100)
    alone.budgets.sums.learn("acme", "m", 1)
    await keeper.tick()
    alone.away.answers = {"months": [b"mark", 0]}
    alone.away.failures = [BackendUnavailable()]
    await keeper.tick()
    assert alone.budgets.sums.lost(1)

    await keeper.tick()
    assert not alone.budgets.sums.lost(1)


async def test_a_spent_budget_stays_spent_in_a_replica_whose_store_was_emptied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever little the store says it has counted since."""
    monkeypatch.setattr(report_desk, "STORE_WAIT_S", 0.0)
    alone = Alone()
    first = await alone.desk.take(report(1, ("spender", 100)))
    assert [told.used_part for told in first.budgets] == [1.0]

    month = next(iter(alone.budgets.sums._months))[1]
    alone.budgets.sums.settle("spender", month, 100, 100, counted=True)
    await alone.desk.take(report(2, ("spender", 5)))
    alone.budgets.sums.settle("spender", month, 5, 5, counted=True)
    still = await alone.desk.take(report(3, ("spender", 0)))

    assert [told.used_part for told in still.budgets] == [1.05]
