"""What is run, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.sim.events import Event
from tests.sim.fleet import FleetPlan
from tests.sim.laws import Laws
from tests.sim.outcomes import Outcomes
from tests.sim.quota_parts import QuotaTimes


@dataclass(frozen=True)
class RunPlan:
    """What is run."""

    name: str
    start_s: float
    """Into the day."""
    length_s: float
    seed: int
    spans: int
    fleet: FleetPlan
    store_slots: int
    times: QuotaTimes = field(default_factory=QuotaTimes)


@dataclass
class RunResult:
    """What came of it."""

    plan: RunPlan
    outcomes: Outcomes
    laws: Laws
    events: Sequence[Event]
    slots: list[dict[str, int]]
    """GPU slots by region at the end of each span."""
    slot_reclaims_s: list[float]
    pool_reclaims_s: list[float]
    """How long what a pool had lent, and the borrower did not use, was away from it."""
    reclaim_bound_s: float
    """Of the pools."""
    pool_refusals_s: list[float]
    """How long tiers were refused what their pools would have, had they lent nothing."""
    lost_gpus: int
    preempted: int
    """Calls that gave back what they had borrowed."""
    tenants: int
    wall_s: float
    cpu_s: float
    """Of this process: what the wall clock would be on a core of its own."""
    asks: int
    """Of the routers' lease holders."""
    store_trips: int
    """Scripts that ran in the stores."""
