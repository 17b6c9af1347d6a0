"""Changes while an error budget is nearly spent: what waits, and what never does."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from tests.unit.control.memory_store import MemoryStore
from tests.unit.control.side import (
    OPERATOR,
    MemoryBlobs,
    WallClock,
    furnish,
    new_collection,
    new_region,
    new_tenant,
    read_words,
    soon,
)

from trunkline_map.entries import RegionState, RolloutState, TenantEntry, TenantLimits
from trunkline_map.keys import Kind, MapKey
from trunkline_map.testing import StaticMap
from trunkline_mesh.errors import ChangesFrozen, FieldInvalid
from trunkline_routing.control.access import Reader
from trunkline_routing.control.audit_lines import line_fields
from trunkline_routing.control.bindings import ControlUseCases, Rules
from trunkline_routing.control.change_messages import render_changes
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.paging import PageRequest
from trunkline_routing.control.rollouts import RolloutWish

URGENT = replace(OPERATOR, urgent=True, comment="the pager")
ALL_OFF = frozenset({6})


@dataclass
class Frost:
    """A freeze that a test begins; it remembers whom it was asked about."""

    frozen: bool = False
    asked: str = ""

    def require(self, *, tenant: TenantEntry | None, urgent: bool, operator: bool, emergency_kind: bool) -> None:
        self.asked = tenant.tenant_id if tenant is not None else ""
        if self.frozen and not (urgent or emergency_kind):
            raise ChangesFrozen


def frozen_cases(frost: Frost) -> ControlUseCases:
    maps = MapStore(MemoryStore(), StaticMap(), now=WallClock(), freeze=frost)
    return ControlUseCases(maps, MemoryBlobs(), read_words, Rules())


async def world(frost: Frost) -> ControlUseCases:
    """Two regions, a tenant, a collection, a policy with two versions; and then it freezes."""
    side = frozen_cases(frost)
    await furnish(side, "eu-a", "eu-b")
    await side.collections.put(new_collection("docs", "eu-a", "eu-b"), OPERATOR, soon())
    first = await side.policies.policies.put("acme", "docs", 0, OPERATOR, soon())
    await side.policies.policies.put("acme", "docs #2", first.pointer.revision, OPERATOR, soon())
    frost.frozen = True
    return side


async def test_changes_wait_unless_they_are_urgent() -> None:
    """Of tenants, collections, spaces, regions and policies, new ones and removals, dry runs and imports included."""
    frost = Frost()
    side = await world(frost)
    tenant, _ = await side.tenants.get("acme", soon())
    region, _ = await side.regions.get("eu-a", soon())
    policy = await side.policies.policies.get("acme", soon())
    limited = replace(tenant, limits=TenantLimits(requests_per_day=5))
    moved = replace(region, rerank_endpoints=("h:1",))

    for attempt in (
        lambda how: side.tenants.put(limited, how, soon()),
        lambda how: side.tenants.put(new_tenant("other"), how, soon()),
        lambda how: side.collections.put(new_collection("more", "eu-a"), how, soon()),
        lambda how: side.regions.put(moved, how, soon()),
        lambda how: side.regions.put(new_region("eu-new"), how, soon()),
        lambda how: side.policies.policies.put("acme", "docs #3", policy.pointer.revision, how, soon()),
        lambda how: side.collections.delete("acme", "docs", 0, how, soon()),
    ):
        with pytest.raises(ChangesFrozen):
            await attempt(OPERATOR)
        with pytest.raises(ChangesFrozen):
            await attempt(replace(OPERATOR, dry_run=True))
        await attempt(URGENT)


async def test_what_helps_in_an_emergency_never_waits() -> None:
    """Suspensions, switches, states of regions and roll backs."""
    frost = Frost()
    side = await world(frost)
    tenant, _ = await side.tenants.get("acme", soon())
    policy = await side.policies.policies.get("acme", soon())

    tenant, _ = await side.tenants.put(replace(tenant, suspended=True, disabled_stages=ALL_OFF), OPERATOR, soon())
    await side.tenants.put(replace(tenant, suspended=False), OPERATOR, soon())
    region, _ = await side.regions.drain("eu-a", OPERATOR, soon())
    region, _ = await side.regions.undrain("eu-a", 0.0, OPERATOR, soon())
    await side.regions.put(replace(region, state=RegionState.DOWN, disabled_stages=ALL_OFF), OPERATOR, soon())
    back = await side.policies.policies.roll_back("acme", 1, policy.pointer.revision, OPERATOR, soon())

    assert back.yaml == "docs"


async def test_a_rollout_may_end_but_not_begin_or_grow() -> None:
    """The way back is open, the way forward is not."""
    frost = Frost()
    side = await world(frost)
    frost.frozen = False
    wish = RolloutWish("", RolloutState.SHADOW, 0.5)
    begun, _ = await side.policies.rollouts.begin("acme", wish, "docs #3", OPERATOR, soon())
    frost.frozen = True

    grown = RolloutWish(begun.rollout_id, RolloutState.CANARY, 1.0)
    with pytest.raises(ChangesFrozen):
        await side.policies.rollouts.move("acme", grown, OPERATOR, soon())
    with pytest.raises(ChangesFrozen):
        await side.policies.rollouts.end("acme", begun.rollout_id, OPERATOR, soon(), apply=True)
    await side.policies.rollouts.end("acme", begun.rollout_id, OPERATOR, soon(), apply=False)
    with pytest.raises(ChangesFrozen):
        await side.policies.rollouts.begin("acme", wish, "docs #3", OPERATOR, soon())


async def test_the_tenant_whose_budget_counts_is_told() -> None:
    """Also where only the watched map knows it; none for what belongs to everybody."""
    frost = Frost()
    side = frozen_cases(frost)
    await furnish(side, "eu-a")
    asked = [frost.asked]
    await side.regions.put(new_region("eu-b"), OPERATOR, soon())
    asked.append(frost.asked)
    await side.collections.put(new_collection("docs", "eu-a"), OPERATOR, soon())
    asked.append(frost.asked)

    assert asked == ["acme", "", "acme"]


async def test_the_history_tells_what_was_urgent() -> None:
    """Beside the comment that was given, as it was given; a change that was not is not."""
    frost = Frost()
    side = await world(frost)
    frost.frozen = False
    for how, labels in ((OPERATOR, (("a", "a"),)), (URGENT, (("a", "b"),))):
        tenant, _ = await side.tenants.get("acme", soon())
        await side.tenants.put(replace(tenant, labels=labels), how, soon())

    page = await side.accounts.changes.of_entry(MapKey(Kind.TENANT, "acme"), PageRequest(2, None), soon())

    told = render_changes(page, Reader(operator=True, tenant_id=None))
    assert [(change.urgent, change.comment) for change in told] == [(True, "the pager"), (False, "")]
    assert [line_fields(change, b"12345678")["urgent"] for change in page.changes] == [True, False]


async def test_nonsense_is_told_before_the_freeze() -> None:
    """What could never be done is not put off."""
    frost = Frost()
    side = await world(frost)

    with pytest.raises(FieldInvalid):
        await side.tenants.put(new_tenant("x", tier="gold"), OPERATOR, soon())
