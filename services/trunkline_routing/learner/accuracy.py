"""Use case: routing accuracy as a live indicator, measured as callers meet it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_mesh import metrics
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError
from trunkline_policy.model import Golden, RoutingPolicy
from trunkline_policy.results import NOBODY
from trunkline_routing.learner.evaluating import Evaluation, Question
from trunkline_routing.learner.memories import Memory
from trunkline_routing.learner.objectives import OBJECTIVES, OTHER_TIER, Part, accuracy, objective, tier_label
from trunkline_routing.learner.ports import Routed, Router
from trunkline_routing.learner.scene import Scene
from trunkline_routing.learner.trust import tally, trusted

MAX_TENANTS: Final = 100_000
"""Tenants whose last measure is kept."""
MAX_REPLAYED: Final = 100
"""Golden queries that one round asks the router; a larger set takes turns."""
MAX_REFUSED: Final = 3
"""Refusals after which a round asks no more: a router that is away needs no hundred questions."""
MAX_COMPARED: Final = 200
"""Queries on which one round compares the stages."""

_ACCURACY = metrics.gauge("routing_accuracy", "Mean routing accuracy of this learner's tenants, 0 to 1.", ("tier",))
_MEASURED = metrics.gauge("routing_accuracy_tenants", "This learner's tenants whose accuracy is measured.", ("tier",))
_VIOLATED = metrics.gauge("routing_accuracy_violated", "Those below their tier's objective.", ("tier",))


@dataclass(frozen=True, slots=True)
class Standing:
    """A tenant's indicator."""

    tier: str
    parts: tuple[Part, ...]
    measured_at_s: float
    """Unix time."""

    @property
    def value(self) -> float | None:
        """The routing accuracy; None if nothing has samples."""
        return accuracy(self.parts)

    @property
    def violated(self) -> bool:
        """True if it is measured and below the tier's objective."""
        return self.value is not None and self.value < objective(self.tier)


class Accuracies:
    """Measures tenants and remembers the last measure of each."""

    def __init__(self, router: Router, evaluation: Evaluation, now: Callable[[], float] = time.time) -> None:
        """Replay golden sets on `router`; compare stages by `evaluation`."""
        self._router = router
        self._evaluation = evaluation
        self._now = now
        self._standings: OrderedDict[str, Standing] = OrderedDict()
        self._turns: dict[str, int] = {}

    def of(self, tenant_id: str) -> Standing | None:
        """Return the last measure."""
        return self._standings.get(tenant_id)

    def measured_since(self, tenant_id: str, since_s: float) -> float | None:
        """Return the accuracy if it was measured at or after a Unix time."""
        standing = self._standings.get(tenant_id)
        return standing.value if standing is not None and standing.measured_at_s >= since_s else None

    def keep(self, tenant_ids: frozenset[str]) -> None:
        """Forget all other tenants, which are gone or another learner's now, and tell the metrics."""
        for tenant_id in self._standings.keys() - tenant_ids:
            del self._standings[tenant_id]
            self._turns.pop(tenant_id, None)
        self._tell()

    async def measure(self, scene: Scene, policy: RoutingPolicy, memory: Memory, deadline: Deadline) -> Standing:
        """Measure a tenant. A part that cannot be had now has no samples."""
        now_s = self._now()
        feedback = tally(memory.feedback)
        parts = (
            await self._replay(scene.tenant_id, policy.golden, deadline),
            Part("feedback", feedback.rate, feedback.count, now_s if feedback.count else 0.0),
            await self._agreement(scene, policy, memory, deadline),
        )
        standing = Standing(scene.tenant.tier, parts, now_s)
        self._standings[scene.tenant_id] = standing
        self._standings.move_to_end(scene.tenant_id)
        while len(self._standings) > MAX_TENANTS:
            self._standings.popitem(last=False)
        return standing

    async def _replay(self, tenant_id: str, golden: Sequence[Golden], deadline: Deadline) -> Part:
        right = asked = refused = 0
        for query in self._turn_of(tenant_id, golden):
            try:
                routed = await self._router.route(tenant_id, query.query, deadline)
            except DomainError:
                refused += 1  # says nothing of the router's decisions
            else:
                asked += 1
                right += _is_right(routed, query)
            if refused > MAX_REFUSED:
                break
        return Part("golden", right / asked if asked else 0.0, asked, self._now() if asked else 0.0)

    def _turn_of(self, tenant_id: str, golden: Sequence[Golden]) -> Sequence[Golden]:
        """Return this round's part of a large set: over as many rounds as it needs, each query has its turn."""
        if len(golden) <= MAX_REPLAYED:
            return golden
        turn = self._turns.get(tenant_id, 0)
        self._turns[tenant_id] = turn + 1
        start = turn * MAX_REPLAYED % len(golden)
        return (*golden, *golden)[start : start + MAX_REPLAYED]

    async def _agreement(self, scene: Scene, policy: RoutingPolicy, memory: Memory, deadline: Deadline) -> Part:
        texts = [golden.query for golden in policy.golden]
        said = await asyncio.to_thread(trusted, memory.feedback)
        texts += [sample.text for sample in said.samples]
        try:
            decider = await self._evaluation.live(scene, deadline)
            questions = [Question(text, NOBODY) for text in texts[:MAX_COMPARED]]
            outcomes = await self._evaluation.decide(scene, decider, questions, deadline) if questions else ()
        except DomainError:
            outcomes = ()
        told = [outcome.agrees for outcome in outcomes if outcome.agrees is not None]
        return Part("agreement", sum(told) / len(told) if told else 0.0, len(told), self._now() if told else 0.0)

    def _tell(self) -> None:
        for tier in (*OBJECTIVES, OTHER_TIER):
            standings = [each for each in self._standings.values() if tier_label(each.tier) == tier]
            values = [each.value for each in standings if each.value is not None]
            _MEASURED.labels(tier).set(len(values))
            _VIOLATED.labels(tier).set(sum(each.violated for each in standings))
            _ACCURACY.labels(tier).set(sum(values) / len(values) if values else 0.0)


def _is_right(routed: Routed, golden: Golden) -> bool:
    """Return True if everything that the golden query asks for is right."""
    if golden.template is not None and routed.template != golden.template:
        return False
    if golden.model_class is not None and routed.model_class != golden.model_class:
        return False
    if not golden.collections:
        return not routed.decided
    return routed.decided and any(name in golden.collections for name in routed.collections)
