"""Which changes wait while an error budget is nearly spent: the one gate that every change of the map passes.

What helps in an emergency always passes: suspensions, states of regions, kill switches, roll backs, a new epoch. What
follows by itself from a text that is live already, such as its trained heads, does, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, Protocol

from trunkline_map.entries import Entry, EpochEntry, PolicyPointer, RegionEntry, TenantEntry
from trunkline_map.keys import Kind, MapKey
from trunkline_map.source import MapSource
from trunkline_routing.control.how import How
from trunkline_routing.control.map_state import MapState, Plan


class ChangeFreeze(Protocol):
    """Knows how much of the error budgets is spent."""

    def require(self, *, tenant: TenantEntry | None, urgent: bool, operator: bool, emergency_kind: bool) -> None:
        """Raise ChangesFrozen unless a change that concerns `tenant` (None: all of them) may be made now."""


class _NeverFrozen:
    def require(self, *, tenant: TenantEntry | None, urgent: bool, operator: bool, emergency_kind: bool) -> None:
        """Let everything pass."""


NEVER_FROZEN: Final[ChangeFreeze] = _NeverFrozen()
"""No error budget is looked at."""


def require_thawed(freeze: ChangeFreeze, state: MapState, plan: Plan, how: How, source: MapSource) -> None:
    """Raise ChangesFrozen if something that `plan` changes upon `state` has to wait.

    Whose tier counts is told by the stored tenant, or by `source` where the decision did not read it.
    """
    for key, after in _changes(plan):
        before = state.readable(key)  # what cannot be read is removed or written anew, whatever it was
        freeze.require(
            tenant=_owner(state, key, after, source),
            urgent=how.urgent,
            operator=how.operator,
            emergency_kind=plan.restores or _helps(before, after),
        )


def _changes(plan: Plan) -> Iterator[tuple[MapKey, Entry | None]]:
    yield from ((entry.key, entry) for entry in plan.puts)
    yield from ((key, None) for key in plan.deletes)


def _owner(state: MapState, key: MapKey, after: Entry | None, source: MapSource) -> TenantEntry | None:
    if key.kind not in (Kind.TENANT, Kind.COLLECTION, Kind.POLICY):
        return None
    found = state.readable(MapKey(Kind.TENANT, key.name))
    if isinstance(found, TenantEntry):
        return found
    if isinstance(after, TenantEntry):
        return after
    return source.snapshot.tenant(key.name) if source.ready() else None


def _helps(before: Entry | None, after: Entry | None) -> bool:
    """Return True for a change that is made in an emergency, or that follows from one that was let through."""
    match before, after:
        case _, EpochEntry():
            return True
        case TenantEntry(), TenantEntry():
            switched = replace(before, suspended=after.suspended, disabled_stages=after.disabled_stages)
            return replace(switched, revision=after.revision) == after
        case RegionEntry(), RegionEntry():
            turned = replace(before, state=after.state, ramp_s=after.ramp_s, serving_since_s=after.serving_since_s)
            return replace(turned, disabled_stages=after.disabled_stages, revision=after.revision) == after
        case PolicyPointer(), PolicyPointer():
            return _same_decisions(before, after)
        case _:
            return False


def _same_decisions(before: PolicyPointer, after: PolicyPointer) -> bool:
    """Return True where the live text stays and no rollout of another begins or goes on."""
    if before.digest != after.digest:
        return False
    if after.rollout is None:
        return True
    return before.rollout is not None and replace(before.rollout, heads=after.rollout.heads) == after.rollout
