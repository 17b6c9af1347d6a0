"""Tries policies on queries that they have not learned: held-back feedback and the policy's own golden set."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_mesh.deadline import Deadline
from trunkline_policy import fitting
from trunkline_policy.model import RoutingPolicy
from trunkline_policy.results import NOBODY
from trunkline_routing.learner.deciding import Outcome
from trunkline_routing.learner.evaluating import Evaluation, Question
from trunkline_routing.learner.proposing import Measured, measured
from trunkline_routing.learner.scene import Scene
from trunkline_routing.learner.trust import Sample

GOLDEN_TO_FIT: Final = 20
"""Golden queries from which thresholds are fitted: on fewer they would follow chance."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A policy with what it made of the queries."""

    policy: RoutingPolicy
    measure: Measured
    of_golden: tuple[Outcome, ...]

    @property
    def success(self) -> tuple[int, int]:
        """How often it is right: on held-back feedback first."""
        return self.measure.held_back.success_count, self.measure.golden.success_count


class Trying:
    """Measures policies. Every method raises domain errors."""

    def __init__(self, evaluation: Evaluation) -> None:
        """Decide by `evaluation`."""
        self._evaluation = evaluation

    async def live(self, scene: Scene, policy: RoutingPolicy, held: Sequence[Sample], deadline: Deadline) -> Tried:
        """Return how good the live policy is."""
        return await self._try(scene, policy, policy, held, deadline)

    async def best(
        self,
        scene: Scene,
        policy: RoutingPolicy,
        drafts: Sequence[RoutingPolicy],
        held: Sequence[Sample],
        deadline: Deadline,
    ) -> Tried:
        """Return the best of the drafts, the first of those that are as good, or it with thresholds that are better.

        They are fitted to the golden set, which the head has not learned, and held-back feedback decides on them.
        """
        tried = [await self._try(scene, draft, policy, held, deadline) for draft in drafts]
        best = max(tried, key=lambda each: each.success)
        if len(policy.golden) < GOLDEN_TO_FIT:
            return best
        fitted = await asyncio.to_thread(_fitted, best)
        if fitted == best.policy:
            return best
        refitted = await self._try(scene, fitted, policy, held, deadline)
        return max(best, refitted, key=lambda each: each.success)

    async def _try(
        self, scene: Scene, draft: RoutingPolicy, policy: RoutingPolicy, held: Sequence[Sample], deadline: Deadline
    ) -> Tried:
        decider = await self._evaluation.prepared(scene, draft, deadline)
        texts = [sample.text for sample in held] + [golden.query for golden in policy.golden]
        questions = [Question(text, NOBODY) for text in texts]
        outcomes = await self._evaluation.decide(scene, decider, questions, deadline)
        measure = measured(held, [golden.collections for golden in policy.golden], outcomes)
        return Tried(draft, measure, outcomes[len(held) :])


def _fitted(tried: Tried) -> RoutingPolicy:
    """Return the policy with thresholds fitted to its golden set."""
    samples = [
        fitting.Sample(frozenset(golden.collections), outcome.logical, outcome.semantic)
        for golden, outcome in zip(tried.policy.golden, tried.of_golden, strict=True)
    ]
    fitted = fitting.fit_thresholds(tried.policy, samples)
    return tried.policy.model_copy(update={"thresholds": fitted.thresholds})
