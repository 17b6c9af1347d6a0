"""Who is served next, and who has the least right to wait."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trunkline_mesh.fair_queue import FairQueue


class Item:
    """A waiting entry."""

    def __init__(self, tenant: str, cost: int = 1, weight: float = 1.0) -> None:
        self.tenant = tenant
        self.cost = cost
        self.weight = weight


def served(queue: FairQueue[Item], count: int) -> Sequence[str]:
    return [queue.pop().tenant for _ in range(count)]


def filled(*entries: tuple[str, int, float]) -> FairQueue[Item]:
    queue: FairQueue[Item] = FairQueue()
    for tenant, count, weight in entries:
        for _ in range(count):
            queue.push(Item(tenant, weight=weight))
    return queue


def test_one_tenants_flood_delays_another_by_one_entry() -> None:
    """A newcomer is served next or next but one, however long the line of another tenant is."""
    queue = filled(("flood", 1000, 1.0))
    served(queue, 10)
    queue.push(Item("newcomer"))
    assert "newcomer" in served(queue, 2)


def test_ranks_share_by_weight() -> None:
    """Of 210 entries served among free, pro and enterprise, 10, 40 and 160 go to them."""
    queue = filled(("free", 200, 1.0), ("pro", 200, 4.0), ("enterprise", 200, 16.0))
    shares = Counter(served(queue, 210))
    assert shares["free"] == pytest.approx(10, abs=2)
    assert shares["pro"] == pytest.approx(40, abs=2)
    assert shares["enterprise"] == pytest.approx(160, abs=2)


def test_costs_count_not_entries() -> None:
    """A tenant whose entries cost four times as much gets a quarter of the turns."""
    queue: FairQueue[Item] = FairQueue()
    for _ in range(100):
        queue.push(Item("light", cost=1))
        queue.push(Item("heavy", cost=4))
    shares = Counter(served(queue, 50))
    assert shares["heavy"] == pytest.approx(10, abs=1)


def test_each_tenants_line_is_in_order() -> None:
    """Whoever of a tenant came first is served first."""
    queue: FairQueue[Item] = FairQueue()
    items = [Item("a"), Item("b"), Item("a"), Item("b"), Item("a")]
    for item in items:
        queue.push(item)
    order = [queue.pop() for _ in items]
    assert [item for item in order if item.tenant == "a"] == [items[0], items[2], items[4]]


def test_idling_saves_no_credit() -> None:
    """A tenant that waited for nothing for long shares evenly when it is back, and gets no arrears."""
    queue = filled(("busy", 500, 1.0), ("idle", 1, 1.0))
    served(queue, 300)
    for _ in range(100):
        queue.push(Item("idle"))
    shares = Counter(served(queue, 100))
    assert shares["idle"] == pytest.approx(50, abs=1)


def test_leaving_and_coming_back_wipes_no_debt() -> None:
    """A tenant that was just served expensive work does not jump ahead by emptying its line."""
    queue = filled(("patient", 50, 1.0))
    queue.push(Item("greedy", cost=20))
    while "greedy" not in served(queue, 1):
        pass
    queue.push(Item("greedy", cost=20))
    assert "greedy" not in served(queue, 15)


def test_a_discarded_entry_is_not_charged() -> None:
    """Who leaves while waiting has cost nothing."""
    queue = filled(("other", 100, 1.0))
    for _ in range(50):
        item = Item("leaver", cost=10)
        queue.push(item)
        assert queue.discard(item)
        assert not queue.discard(item)
    queue.push(Item("leaver"))
    assert "leaver" in served(queue, 2)


def test_comers_and_goers_do_not_grow_the_queue() -> None:
    """Memory is bounded by who waits, also if nobody is ever served."""
    queue: FairQueue[Item] = FairQueue(max_idle_tenants=10)
    queue.push(Item("stays"))
    for number in range(10_000):
        item = Item(f"tenant-{number % 100}")
        queue.push(item)
        queue.discard(item)
    assert len(queue) == 1
    assert len(queue._heap) < 200
    assert len(queue._flows) <= 11


def test_the_longest_line_is_pushed_out_first() -> None:
    """Its newest entry, and only for somebody who would be served before it."""
    queue = filled(("long", 10, 1.0), ("short", 2, 1.0))
    victim = queue.most_overdrawn("newcomer", 1, 1.0)
    assert victim is not None
    assert victim.tenant == "long"
    assert victim is list(queue)[9]
    assert queue.most_overdrawn("long", 1, 1.0) is None


def test_the_lower_rank_is_pushed_out_first() -> None:
    """With lines of the same length the smaller weight loses; the lower rank never pushes out the higher."""
    queue = filled(("free", 3, 1.0), ("pro", 3, 4.0))
    victim = queue.most_overdrawn("enterprise", 1, 16.0)
    assert victim is not None
    assert victim.tenant == "free"
    only_pro = filled(("pro", 3, 4.0))
    assert only_pro.most_overdrawn("free", 1, 1.0) is None


def test_what_is_ahead_is_estimated_by_share() -> None:
    """A newcomer has one entry of each tenant before it, not the whole of a flood."""
    queue = filled(("flood", 100, 1.0))
    assert queue.cost_ahead("newcomer", 1, 1.0) == pytest.approx(2.0)
    assert queue.cost_ahead("flood", 1, 1.0) == pytest.approx(101.0)


def test_an_empty_queue_gives_nothing() -> None:
    """Peeking gives None; taking is an error."""
    queue: FairQueue[Item] = FairQueue()
    assert queue.peek() is None
    with pytest.raises(IndexError):
        queue.pop()


@settings(max_examples=200, deadline=None)
@given(
    costs=st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=2, max_size=60),
    weights=st.tuples(st.sampled_from([1.0, 4.0, 16.0]), st.sampled_from([1.0, 4.0, 16.0])),
    crowd=st.integers(0, 5),
)
def test_two_waiting_tenants_never_drift_apart(
    costs: list[tuple[int, int]], weights: tuple[float, float], crowd: int
) -> None:
    """While both wait, their service per weight differs by at most the sum of their largest entries (SIGCOMM 1996)."""
    queue: FairQueue[Item] = FairQueue()
    for cost_a, cost_b in costs:
        queue.push(Item("a", cost_a, weights[0]))
        queue.push(Item("b", cost_b, weights[1]))
    for number in range(crowd * 10):
        queue.push(Item(f"crowd-{number % max(1, crowd)}", 1 + number % 7))
    work = {"a": 0.0, "b": 0.0}
    drift = [0.0]
    while queue.length_of("a") and queue.length_of("b"):
        item = queue.pop()
        if item.tenant in work:
            work[item.tenant] += item.cost / item.weight
            drift.append(work["a"] - work["b"])
    bound = max(a for a, _ in costs) / weights[0] + max(b for _, b in costs) / weights[1]
    assert max(drift) - min(drift) <= bound + 1e-9


class QueueMachine(RuleBasedStateMachine):
    """Random pushes, pops and departures against a plain set of who waits."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: FairQueue[Item] = FairQueue(max_idle_tenants=3)
        self.waiting: list[Item] = []

    @rule(tenant=st.sampled_from("abcdefgh"), cost=st.integers(1, 9), weight=st.sampled_from([1.0, 4.0, 16.0]))
    def push(self, tenant: str, cost: int, weight: float) -> None:
        item = Item(tenant, cost, weight)
        self.queue.push(item)
        self.waiting.append(item)

    @precondition(lambda self: self.waiting)
    @rule()
    def pop(self) -> None:
        first = self.queue.peek()
        item = self.queue.pop()
        assert item is first
        oldest = next(other for other in self.waiting if other.tenant == item.tenant)
        assert item is oldest
        self.waiting.remove(item)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        item = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        assert self.queue.discard(item)

    @rule(tenant=st.sampled_from("abcdefgh"))
    def push_out(self, tenant: str) -> None:
        victim = self.queue.most_overdrawn(tenant, 1, 1.0)
        if victim is not None:
            assert victim.tenant != tenant
            assert self.queue.discard(victim)
            self.waiting.remove(victim)

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.queue) == len(self.waiting)
        assert self.queue.cost == sum(item.cost for item in self.waiting)
        assert self.queue.waiting_tenants == len({item.tenant for item in self.waiting})
        for tenant, items in itertools.groupby(sorted(self.waiting, key=lambda i: i.tenant), key=lambda i: i.tenant):
            assert self.queue.length_of(tenant) == len(list(items))
        assert (self.queue.peek() is None) == (not self.waiting)

    @invariant()
    def estimates_are_bounded(self) -> None:
        ahead = self.queue.cost_ahead("a", 2, 4.0)
        assert 0 < ahead <= self.queue.cost + 2


QueueMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=60, deadline=None)
TestQueueMachine = QueueMachine.TestCase
