"""Changes wait by what the regions say of their error budgets."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from trunkline_map.entries import RegionEntry, RegionState
from trunkline_map.testing import region, static_map, tenant
from trunkline_mesh.errors import BackendUnavailable, ChangesFrozen
from trunkline_routing.control.freeze import HOLD_S, SILENT_S, Freeze, Promised
from trunkline_routing.control.freeze_watch import FreezeWatch
from trunkline_tiers import default_tiers
from trunkline_tiers.error_budget import Action

ACME = tenant("acme", "eu", tier="pro")
OTHER = tenant("other", "eu", tier="free")
REGIONS = (region("eu-1", "eu", admission="a:1"), region("eu-2", "eu", admission="b:1"))


class World:
    """A freeze in virtual time."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.freeze = Freeze(default_tiers(), lambda: self.now_s)

    def told(self, action: Action, *, region_id: str = "eu-1", name: str = "pro", tier: bool = True) -> None:
        """Let a region tell of one promise."""
        self.freeze.answered(region_id, [Promised(name, tier, 0, 0, action)])
        self.freeze.judge(REGIONS)

    def allows(
        self, who: object = ACME, *, urgent: bool = False, operator: bool = False, emergency_kind: bool = False
    ) -> bool:
        """Return True if a change may be made."""
        try:
            self.freeze.require(
                tenant=who,  # type: ignore[arg-type] # a tenant or None
                urgent=urgent,
                operator=operator,
                emergency_kind=emergency_kind,
            )
        except ChangesFrozen:
            return False
        return True


@pytest.mark.parametrize(
    ("action", "urgent", "operator", "allowed"),
    [
        (Action.NONE, False, False, True),
        (Action.REVIEW, False, False, True),
        (Action.FREEZE, False, True, False),
        (Action.FREEZE, True, False, True),
        (Action.LOCKDOWN, True, False, False),
        (Action.LOCKDOWN, False, True, False),
        (Action.LOCKDOWN, True, True, True),
        (Action.VIOLATED, True, False, False),
        (Action.VIOLATED, True, True, True),
    ],
)
def test_what_passes_at_each_action(action: Action, urgent: bool, operator: bool, allowed: bool) -> None:
    """In a freeze what is urgent; in a lockdown only for operators; in an emergency what helps, always."""
    world = World()
    world.told(action)

    assert world.allows(urgent=urgent, operator=operator) is allowed
    assert world.allows(emergency_kind=True)


def test_a_freeze_concerns_its_own_tier_and_what_all_share() -> None:
    """Another tier's tenants go on; regions and spaces are everybody's."""
    world = World()
    world.told(Action.FREEZE, name="pro")

    assert not world.allows(ACME)
    assert world.allows(OTHER)
    assert not world.allows(None)


def test_a_tenants_own_budget_concerns_it_alone() -> None:
    """Not its tier, and not what all share."""
    world = World()
    world.told(Action.LOCKDOWN, name="acme", tier=False)

    assert not world.allows(ACME, urgent=True)
    assert world.allows(tenant("neighbour", "eu", tier="pro"))
    assert world.allows(None)


def test_the_refusal_says_whose_budget_it_is() -> None:
    """Scope, name, action and region."""
    world = World()
    world.told(Action.LOCKDOWN)
    with pytest.raises(ChangesFrozen) as caught:
        world.freeze.require(tenant=ACME, urgent=False, operator=True, emergency_kind=False)

    assert dict(caught.value.metadata) == {"scope": "tier", "name": "pro", "action": "LOCKDOWN", "where": "eu-1"}


def test_the_worst_region_counts_and_an_old_answer_ends() -> None:
    """Whatever others say meanwhile; and nothing is frozen before anybody has answered."""
    world = World()
    assert world.allows()
    world.told(Action.FREEZE, region_id="eu-1")
    world.told(Action.NONE, region_id="eu-2")
    assert not world.allows()

    world.now_s += HOLD_S + 1
    world.told(Action.NONE, region_id="eu-2")
    assert world.allows()


def answers(world: World, seconds: int, regions: Sequence[RegionEntry], calls: dict[str, int], share: int) -> None:
    """Let regions answer every 10 s, each with `share` more calls a second."""
    for _ in range(seconds // 10):
        world.now_s += 10
        for each in regions:
            calls[each.region_id] += 10 * share
            promised = [Promised("enterprise", True, calls[each.region_id], 0, Action.NONE)]
            world.freeze.answered(each.region_id, promised)
        world.freeze.judge(REGIONS)


def test_a_silent_region_fails_with_its_share_of_the_traffic() -> None:
    """Half of a tier's calls come to a region that is out: 99.9 % are spent in minutes, and it ends when it answers."""
    world, calls = World(), {"eu-1": 0, "eu-2": 0}
    enterprise = tenant("big", "eu", tier="enterprise")
    answers(world, 3600, REGIONS, calls, share=10)
    assert world.allows(enterprise)

    answers(world, int(SILENT_S) + 60, REGIONS[:1], calls, share=10)
    assert not world.allows(enterprise, urgent=True)

    answers(world, 10, REGIONS, calls, share=10)
    assert world.allows(enterprise)


def test_a_region_that_is_drained_or_gone_is_not_charged() -> None:
    """Its silence is meant."""
    enterprise = tenant("big", "eu", tier="enterprise")
    for left in ((REGIONS[0], region("eu-2", "eu", state=RegionState.DRAINING, admission="b:1")), REGIONS[:1]):
        world, calls = World(), {"eu-1": 0, "eu-2": 0}
        answers(world, 3600, REGIONS, calls, share=10)
        answers(world, 600, REGIONS[:1], calls, share=10)
        world.freeze.judge(left)

        assert world.allows(enterprise)


def test_a_control_role_that_hears_nobody_freezes_nothing() -> None:
    """It may be the one that is cut off."""
    world, calls = World(), {"eu-1": 0, "eu-2": 0}
    answers(world, 3600, REGIONS, calls, share=10)
    world.now_s += HOLD_S - 1
    world.freeze.judge(REGIONS)

    assert world.allows(tenant("big", "eu", tier="enterprise"))


async def test_regions_are_asked_and_those_that_fail_are_passed_over() -> None:
    """Those without admission are not asked."""
    world, asked = World(), []

    async def ask(entry: RegionEntry) -> Sequence[Promised]:
        asked.append(entry.region_id)
        if entry.region_id == "eu-2":
            raise BackendUnavailable
        return [Promised("pro", True, 0, 0, Action.FREEZE)]

    watch = FreezeWatch(static_map(*REGIONS, region("us-1", "us")), world.freeze, ask)
    await watch.poll()

    assert sorted(asked) == ["eu-1", "eu-2"]
    assert not world.allows()
