"""Two persons: asked for by one, approved by another, for exactly this change, once, within an hour."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.control.memory_store import MemoryStore
from tests.unit.control.side import OPERATOR, WallClock, furnish, new_collection, new_region, soon, use_cases

from trunkline_map.entries import RegionState
from trunkline_map.keys import parse_history_key
from trunkline_mesh.errors import (
    ApprovalInvalid,
    ApprovalRequired,
    LastAllowedRegion,
    MethodNotAllowed,
    Overloaded,
)
from trunkline_routing.control.approvals import LIFE_S, MAX_APPROVALS
from trunkline_routing.control.bindings import ControlUseCases, Rules
from trunkline_routing.control.change_lists import read_change
from trunkline_routing.control.how import How
from trunkline_routing.control.two_persons import Act, SecondPerson, parse_acts

DRAINS = Rules(second=SecondPerson([Act.DRAIN_REGION]))


class Desk:
    """A control process over two regions, and drains of the first as operators ask for them."""

    def __init__(self, rules: Rules = DRAINS) -> None:
        self.store = MemoryStore()
        self.clock = WallClock()
        self.side: ControlUseCases = use_cases(self.store, rules, now=self.clock)
        self.approvals = self.side.accounts.approvals

    async def drain(self, approval_id: str = "", *, who: How = OPERATOR, digest: bytes = b"d") -> RegionState:
        how = replace(who, approval_id=approval_id)
        entry, _ = await self.approvals.guarded(
            how, digest, lambda how: self.side.regions.drain("eu-a", how, soon()), soon()
        )
        return entry.state

    async def ask(self, *, who: How = OPERATOR, digest: bytes = b"d") -> str:
        with pytest.raises(ApprovalRequired) as refused:
            await self.drain(who=who, digest=digest)
        return refused.value.metadata["approvalId"]


async def open_desk(rules: Rules = DRAINS) -> Desk:
    desk = Desk(rules)
    await furnish(desk.side, "eu-a", "eu-b")
    return desk


async def test_a_change_waits_until_another_approves_it() -> None:
    """Then it is made, once, and its account names both."""
    desk = await open_desk()
    approval_id = await desk.ask()
    with pytest.raises(ApprovalInvalid):
        await desk.drain(approval_id)
    with pytest.raises(MethodNotAllowed):
        await desk.approvals.approve(approval_id, "olga", soon())

    await desk.approvals.approve(approval_id, "otto", soon())

    assert await desk.drain(approval_id) is RegionState.DRAINING
    changes = [read_change(item) for key, item in desk.store.state().items() if parse_history_key(key)]
    [record] = [change.record for change in changes if change and change.record.approval_id]
    assert (record.actor, record.approver, record.approval_id) == ("olga", "otto", approval_id)
    with pytest.raises(ApprovalInvalid):
        await desk.drain(approval_id)
    assert not await desk.approvals.listed(soon())


async def test_what_waits_is_told() -> None:
    """Oldest first, with its summary; the same request asked for again waits under the same id."""
    desk = await open_desk()
    first = await desk.ask(who=replace(OPERATOR, comment="why"))
    desk.clock.now_s += 1
    second = await desk.ask(digest=b"other")

    assert await desk.ask() == first

    told = [(record.approval_id, record.summary, record.comment) for record in await desk.approvals.listed(soon())]
    assert told == [(first, "drain region eu-a", "why"), (second, "drain region eu-a", "")]


async def test_an_approval_is_for_one_request_of_one_operator() -> None:
    """Another request, or another operator's, is not covered."""
    desk = await open_desk()
    approval_id = await desk.ask()
    await desk.approvals.approve(approval_id, "otto", soon())

    for attempt in (desk.drain(approval_id, digest=b"other"), desk.drain(approval_id, who=How("otto", ("operator",)))):
        with pytest.raises(ApprovalInvalid):
            await attempt
    assert await desk.drain(approval_id) is RegionState.DRAINING


async def test_an_hour_later_it_is_worth_nothing() -> None:
    """By the wall clock, approved or not; and it makes room for others."""
    desk = await open_desk()
    approval_id = await desk.ask()
    await desk.approvals.approve(approval_id, "otto", soon())
    desk.clock.now_s += LIFE_S - 1
    assert len(await desk.approvals.listed(soon())) == 1

    desk.clock.now_s += 1

    assert not await desk.approvals.listed(soon())
    for attempt in (desk.drain(approval_id), desk.approvals.approve(approval_id, "otto", soon())):
        with pytest.raises(ApprovalInvalid):
            await attempt
    await desk.ask()
    assert len([key for key in desk.store.state() if b"/approvals/" in key]) == 1


async def test_a_rejected_one_is_gone() -> None:
    """The one who asked may take it back, too; and one that was approved may be rejected still."""
    desk = await open_desk()
    for decider in ("otto", "olga"):
        approval_id = await desk.ask()
        await desk.approvals.approve(approval_id, "otto", soon())
        left = await desk.approvals.reject(approval_id, decider, soon())
        assert (left.decider, left.approved) == (decider, False)
        with pytest.raises(ApprovalInvalid):
            await desk.drain(approval_id)


async def test_of_two_uses_at_once_one_is_refused() -> None:
    """It is used up in the change's own transaction."""
    desk = await open_desk()
    approval_id = await desk.ask()
    await desk.approvals.approve(approval_id, "otto", soon())
    desk.store.meanwhile = lambda: desk.approvals.reject(approval_id, "otto", soon())

    with pytest.raises(ApprovalInvalid):
        await desk.drain(approval_id)

    assert (await desk.side.regions.get("eu-a", soon()))[0].state is RegionState.SERVING


async def test_so_many_wait_and_no_more() -> None:
    """Decided or not."""
    desk = await open_desk()
    for number in range(MAX_APPROVALS):
        await desk.ask(digest=f"{number}".encode())

    with pytest.raises(Overloaded):
        await desk.drain(digest=b"one more")
    await desk.approvals.reject((await desk.approvals.listed(soon()))[0].approval_id, "otto", soon())
    await desk.ask(digest=b"one more")


async def test_what_would_be_refused_anyway_does_not_wait() -> None:
    """A second person is asked about what can be done."""
    desk = await open_desk()
    await desk.side.collections.put(new_collection("docs", "eu-a"), OPERATOR, soon())

    with pytest.raises(LastAllowedRegion):
        await desk.drain()

    assert not await desk.approvals.listed(soon())


async def test_a_dry_run_needs_nobody() -> None:
    """It changes nothing."""
    desk = await open_desk()

    assert await desk.drain(who=replace(OPERATOR, dry_run=True)) is RegionState.DRAINING

    assert (await desk.side.regions.get("eu-a", soon()))[0].state is RegionState.SERVING


async def test_a_drain_is_not_to_be_had_by_other_words() -> None:
    """Writing the region's state needs a second person as well; the rest of the entry does not."""
    desk = await open_desk()
    entry, _ = await desk.side.regions.get("eu-a", soon())

    with pytest.raises(ApprovalRequired):
        await desk.side.regions.put(replace(entry, state=RegionState.DOWN), OPERATOR, soon())
    await desk.side.regions.put(replace(entry, ramp_s=5.0), OPERATOR, soon())
    await desk.side.regions.delete("eu-a", 0, OPERATOR, soon())


async def test_each_act_is_named_by_itself() -> None:
    """Removing a region, and bringing one back."""
    desk = await open_desk(Rules(second=SecondPerson(parse_acts("delete-region, undrain-region"))))
    await desk.side.regions.drain("eu-a", OPERATOR, soon())

    with pytest.raises(ApprovalRequired):
        await desk.side.regions.delete("eu-a", 0, OPERATOR, soon())
    with pytest.raises(ApprovalRequired):
        await desk.side.regions.undrain("eu-a", 0, OPERATOR, soon())
    await desk.side.regions.put(new_region("eu-new"), OPERATOR, soon())


@pytest.mark.parametrize(("text", "count"), [("", 0), (" , ", 0), ("drain-region", 1), ("renew-epoch,drain-region", 2)])
def test_acts_are_read_from_the_setting(text: str, count: int) -> None:
    """Separated by commas."""
    assert len(parse_acts(text)) == count


def test_an_act_that_is_none_stops_the_start() -> None:
    """Instead of guarding nothing."""
    with pytest.raises(ValueError, match="drain-regions"):
        parse_acts("drain-regions")
