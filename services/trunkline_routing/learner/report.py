"""Use case: how well a tenant's routing works, and what the learner did."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from trunkline_map.source import MapSource
from trunkline_mesh.deadline import Deadline
from trunkline_policy.significance import fisher, wilson
from trunkline_routing.feedback.journal import FeedbackStore
from trunkline_routing.learner.accuracy import Accuracies
from trunkline_routing.learner.journal import Journal
from trunkline_routing.learner.learned import Learned
from trunkline_routing.learner.memories import DAY_S, Memory, recall
from trunkline_routing.learner.objectives import Part, accuracy, objective
from trunkline_routing.learner.ports import Policies
from trunkline_routing.learner.scene import scene_of
from trunkline_routing.learner.trust import Tally, trusted


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm of a comparison."""

    name: str
    tally: Tally
    low: float
    """Ends of the 95 % Wilson interval of its success rate."""
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """An experiment or a rollout, as far as it was seen."""

    name: str
    shadow: bool
    arms: tuple[Arm, ...]
    p_value: float
    """Two-sided, of Fisher's exact test; 1 without samples in both arms."""
    shadow_count: int
    shadow_agreed_count: int


@dataclass(frozen=True, slots=True)
class RoutingReport:
    """A tenant's report."""

    tenant_id: str
    tier: str
    parts: tuple[Part, ...]
    comparisons: tuple[Comparison, ...]
    feedback_count: int
    distrusted_count: int
    policy_version: int
    retention_s: float
    learned: Learned | None
    learned_at_s: float
    """Unix time; 0 if never."""

    @property
    def accuracy(self) -> float | None:
        """The indicator; None if nothing has samples."""
        return accuracy(self.parts)

    @property
    def violated(self) -> bool:
        """True if it is measured and below the objective."""
        return self.accuracy is not None and self.accuracy < objective(self.tier)


class Reporting:
    """Makes reports from what is kept and from the last measures."""

    def __init__(
        self,
        source: MapSource,
        policies: Policies,
        store: FeedbackStore,
        accuracies: Accuracies,
        journal: Journal,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Use the ports."""
        self._source = source
        self._policies = policies
        self._store = store
        self._accuracies = accuracies
        self._journal = journal
        self._now = now

    async def of(self, tenant_id: str, deadline: Deadline) -> RoutingReport:
        """Return the report; what was never measured is measured now. Raises domain errors."""
        scene = scene_of(self._source.snapshot, tenant_id)
        pointer = scene.pointer
        policy = await self._policies.read(scene.jurisdictions, pointer.form_digest, pointer.digest)
        retention_s = policy.learning.retention_days * DAY_S
        memory = await recall(
            self._store,
            scene.jurisdictions,
            tenant_id,
            since_s=self._now() - retention_s,
            max_samples=policy.learning.max_samples,
        )
        standing = self._accuracies.of(tenant_id)
        if standing is None:
            standing = await self._accuracies.measure(scene, policy, memory, deadline)
        # Thousands of records: counted aside, because other callers and health checks are waiting.
        comparisons, distrusted_count = await asyncio.to_thread(_counted, memory)
        learned, learned_at_s = self._journal.last(tenant_id)
        return RoutingReport(
            tenant_id=tenant_id,
            tier=scene.tenant.tier,
            parts=standing.parts,
            comparisons=comparisons,
            feedback_count=len(memory.feedback),
            distrusted_count=distrusted_count,
            policy_version=pointer.version,
            retention_s=retention_s,
            learned=learned,
            learned_at_s=learned_at_s,
        )


def _counted(memory: Memory) -> tuple[tuple[Comparison, ...], int]:
    comparisons = tuple(_comparison(memory, name) for name in memory.experiments())
    return comparisons, trusted(memory.feedback).distrusted_count


def _comparison(memory: Memory, name: str) -> Comparison:
    control, variant = memory.arms(name)
    shadow_count, agreed_count = memory.shadowed(name)
    return Comparison(
        name=name,
        shadow=shadow_count > 0 and variant.count == 0,
        arms=(_arm("control", control), _arm("variant", variant)),
        p_value=(
            fisher(control.success_count, control.count, variant.success_count, variant.count)
            if control.count and variant.count
            else 1.0
        ),
        shadow_count=shadow_count,
        shadow_agreed_count=agreed_count,
    )


def _arm(name: str, tally: Tally) -> Arm:
    low, high = wilson(tally.success_count, tally.count) if tally.count else (0.0, 1.0)
    return Arm(name, tally, low, high)
