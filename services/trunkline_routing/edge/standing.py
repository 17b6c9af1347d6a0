"""What admission told last: the levels of the tiers, and which tenants' budgets are nearly or wholly spent."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType
from typing import Final, TypeAlias

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.logs import get_logger

Level: TypeAlias = quota_pb.ServiceLevel.ValueType

_LEVELS: Final = {number: name.removeprefix("SERVICE_LEVEL_").lower() for name, number in quota_pb.ServiceLevel.items()}

NORMAL: Final = quota_pb.SERVICE_LEVEL_NORMAL
MAX_BUDGETS: Final = 20_000
"""Tenants with a budget that is nearly spent; those told of longest ago are forgotten first."""
MAX_VALID_S: Final = 300.0
"""An answer holds no longer than this, whatever it says."""

log = get_logger("levels")


class Spending(Enum):
    """Where a budget stands."""

    WARNED = auto()
    SPENT = auto()


@dataclass(frozen=True, slots=True)
class Budget:
    """A tenant's budget that is nearly or wholly spent."""

    state: Spending
    used_part: float
    resets_at_s: float
    """Unix time at which its next month begins; 0 where that is not known."""


@dataclass(frozen=True, slots=True)
class Told:
    """An answer to a report, as plain values."""

    levels: Mapping[str, Level] = field(default_factory=lambda: MappingProxyType({}))
    """By tier."""
    budgets: Mapping[str, Budget] = field(default_factory=lambda: MappingProxyType({}))
    """By tenant; who was reported and is not here has nothing to be told."""
    valid_s: float = 0.0


class Standing:
    """Levels and budgets. Without an answer for as long as the last one was valid, every level is NORMAL.

    A budget stays as it was told until its month ends or a later answer says otherwise: money that is spent does not
    come back because nobody answers.
    """

    def __init__(self, *, clock: Clock = MONOTONIC, wall_clock: Callable[[], float] = time.time) -> None:
        """Know nothing: all is normal. `wall_clock` tells Unix time."""
        self._clock: Final = clock
        self._wall_clock: Final = wall_clock
        self._levels: Mapping[str, Level] = {}
        self._until_s = 0.0
        self._budgets: OrderedDict[str, Budget] = OrderedDict()

    def told(self, reported: Iterable[str], told: Told) -> None:
        """Take an answer to a report on the tenants `reported`."""
        levels = {tier: level for tier, level in told.levels.items() if level > NORMAL}
        if levels != self._levels:
            log.warning("level changed", state=_described(levels))
        self._levels = levels
        self._until_s = self._clock() + min(max(told.valid_s, 0.0), MAX_VALID_S)
        for tenant_id in reported:
            if tenant_id not in told.budgets:
                self._budgets.pop(tenant_id, None)
        for tenant_id, budget in told.budgets.items():
            self._budgets[tenant_id] = budget
            self._budgets.move_to_end(tenant_id)
        while len(self._budgets) > MAX_BUDGETS:
            self._budgets.popitem(last=False)

    def level_of(self, tier: str) -> Level:
        """Return a tier's level; NORMAL where none was told, or not lately."""
        if not self._levels or self._clock() >= self._until_s:
            return NORMAL
        return self._levels.get(tier, NORMAL)

    def budget_of(self, tenant_id: str) -> Budget | None:
        """Return a tenant's budget if it is nearly or wholly spent in the month that is now."""
        budget = self._budgets.get(tenant_id) if self._budgets else None
        if budget is None or 0 < budget.resets_at_s <= self._wall_clock():
            return None
        return budget


def _described(levels: Mapping[str, Level]) -> str:
    """Name the tiers that are not normal."""
    names = (f"{tier}={_LEVELS.get(level, level)}" for tier, level in sorted(levels.items()))
    return ",".join(names) or "normal"
