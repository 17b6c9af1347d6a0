"""Changes wait while an error budget is nearly spent: what the regions say of their promises, and what follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_map.entries import RegionEntry, RegionState, TenantEntry
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.errors import ChangesFrozen
from trunkline_tiers import TierFile
from trunkline_tiers.error_budget import Action, action_of, spent_part

HOLD_S: Final = 600.0
"""A region's last answer counts for so long; after it nothing of it does."""
SILENT_S: Final = 60.0
"""A region that has not answered for longer, while others do, is taken to be out."""
MAX_OUTAGE_S: Final = 86_400.0
"""More of one outage is not charged."""
RATE_S: Final = 3600.0
"""A region's traffic is told by its answers of the last hour or two."""
MIN_RATE_S: Final = 60.0

_WHOLE: Final = "all regions"


@dataclass(frozen=True, slots=True)
class Promised:
    """What a region says of one promise."""

    name: str
    """Tier or tenant."""
    tier: bool
    calls: int
    """In the window of 30 days."""
    errors: int
    action: Action


@dataclass(frozen=True, slots=True)
class Standing:
    """The worst that is said of a tier or tenant."""

    action: Action
    where: str
    """Region that says it."""


class _Traffic:
    """How many calls a second a tier of a region has, by what the region told over time."""

    def __init__(self, now_s: float, calls: int) -> None:
        self._older = self._newer = self._last = (now_s, calls)

    def learn(self, now_s: float, calls: int) -> None:
        """Take the next answer."""
        if now_s - self._newer[0] >= RATE_S:
            self._older, self._newer = self._newer, (now_s, calls)
        self._last = (now_s, calls)

    def per_s(self) -> float:
        """Return the mean since the older mark; 0 while that is too short a time to tell."""
        span_s = self._last[0] - self._older[0]
        return max(0.0, (self._last[1] - self._older[1]) / span_s) if span_s >= MIN_RATE_S else 0.0


@dataclass(slots=True)
class _Region:
    """One region's last answer."""

    answered_at_s: float
    promised: Sequence[Promised]
    traffic: dict[str, _Traffic]
    """By tier."""


class Freeze:
    """Keeps the worst action of each tier and tenant. No answer is no freeze: a control role that hears nothing must
    not stop changes that may be what helps.

    A region's own word counts. Beside it, all regions' calls of a tier are judged together, and there a region that is
    silent while others answer counts as failing with its share of the tier's traffic. Nothing is remembered over a
    restart of the control role; the next answers come within seconds.
    """

    def __init__(self, tiers: TierFile, clock: Clock = MONOTONIC) -> None:
        """Nothing is frozen before the first answer."""
        self._tiers = tiers
        self._clock = clock
        self._regions: dict[str, _Region] = {}
        self._of_tier: Mapping[str, Standing] = {}
        self._of_tenant: Mapping[str, Standing] = {}

    def answered(self, region_id: str, promised: Sequence[Promised]) -> None:
        """Take a region's answer; `judge` makes it count."""
        now_s = self._clock()
        known = self._regions.get(region_id)
        traffic = {} if known is None else known.traffic
        for each in promised:
            if each.tier and each.name in traffic:
                traffic[each.name].learn(now_s, each.calls)
            elif each.tier:
                traffic[each.name] = _Traffic(now_s, each.calls)
        self._regions[region_id] = _Region(now_s, promised, traffic)

    def judge(self, regions: Iterable[RegionEntry]) -> None:
        """Reckon anew with the regions of the map. One that is gone from it, or is being drained, is not charged."""
        now_s, states = self._clock(), {region.region_id: region.state for region in regions}
        self._regions = {name: told for name, told in self._regions.items() if name in states}
        of_tier: dict[str, Standing] = {}
        of_tenant: dict[str, Standing] = {}
        for name, told in self._regions.items():
            if now_s - told.answered_at_s <= HOLD_S:
                for each in told.promised:
                    _worse(of_tier if each.tier else of_tenant, each.name, Standing(each.action, name))
        for tier, standing in self._together(states, now_s).items():
            _worse(of_tier, tier, standing)
        self._of_tier, self._of_tenant = of_tier, of_tenant

    def require(self, *, tenant: TenantEntry | None, urgent: bool, operator: bool, emergency_kind: bool) -> None:
        """Raise ChangesFrozen unless a change that concerns `tenant` (None: all of them) may be made now.

        What helps in an emergency always passes. In a freeze what is urgent passes, in a lockdown only for operators.
        """
        scope, name, standing = self._concerned(tenant)
        if emergency_kind or standing.action < Action.FREEZE:
            return
        if urgent and (operator or standing.action is Action.FREEZE):
            return
        raise ChangesFrozen(
            metadata={"scope": scope, "name": name, "action": standing.action.name, "where": standing.where}
        )

    def standing(self) -> Mapping[str, Standing]:
        """Return the tiers with an action."""
        return {name: each for name, each in self._of_tier.items() if each.action is not Action.NONE}

    def _concerned(self, tenant: TenantEntry | None) -> tuple[str, str, Standing]:
        """Return the scope, the name and the worst standing of those that a change concerns."""
        if tenant is None:
            found = [("tier", name, each) for name, each in self._of_tier.items()]
        else:
            tier, _ = self._tiers.named(tenant.tier)
            found = [("tier", tier, self._of_tier[tier])] if tier in self._of_tier else []
            if tenant.tenant_id in self._of_tenant:
                found.append(("tenant", tenant.tenant_id, self._of_tenant[tenant.tenant_id]))
        return max(found, key=lambda each: each[2].action, default=("", "", _NOTHING))

    def _together(self, states: Mapping[str, RegionState], now_s: float) -> Mapping[str, Standing]:
        """Judge each tier over all regions; the silent ones fail with their share of the traffic."""
        ages_s = {name: now_s - told.answered_at_s for name, told in self._regions.items()}
        if min(ages_s.values(), default=SILENT_S + 1) > SILENT_S:
            return {}  # nobody answers: it may be this role that is cut off
        calls: dict[str, float] = {}
        errors: dict[str, float] = {}
        for name, told in self._regions.items():
            out = ages_s[name] > SILENT_S and states[name] is not RegionState.DRAINING
            out_s = min(ages_s[name], MAX_OUTAGE_S) if out else 0.0
            for each in told.promised:
                if each.tier:
                    missing = told.traffic[each.name].per_s() * out_s
                    calls[each.name] = calls.get(each.name, 0.0) + each.calls + missing
                    errors[each.name] = errors.get(each.name, 0.0) + each.errors + missing
        return {
            tier: Standing(action_of(self._spent(tier, calls[tier], errors[tier]), errors[tier]), _WHOLE)
            for tier in calls
        }

    def _spent(self, tier: str, calls: float, errors: float) -> float:
        return spent_part(calls, errors, self._tiers.named(tier)[1].objective.availability)


_NOTHING: Final = Standing(Action.NONE, "")


def _worse(table: dict[str, Standing], name: str, standing: Standing) -> None:
    known = table.get(name)
    if known is None or standing.action > known.action:
        table[name] = standing
