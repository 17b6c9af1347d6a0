"""Use case: make a better policy from feedback, measure it where it has not learned, and begin its rollout."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from trunkline_map.blob import digest_of
from trunkline_map.entries import RolloutState
from trunkline_mesh.deadline import Deadline
from trunkline_policy.document import to_yaml
from trunkline_policy.model import RoutingPolicy
from trunkline_routing.learner.learned import Learned
from trunkline_routing.learner.library import Recent
from trunkline_routing.learner.memories import Memory
from trunkline_routing.learner.ports import Control, Proposal
from trunkline_routing.learner.proposing import Measured, verdict, with_examples, with_keywords
from trunkline_routing.learner.scene import Scene
from trunkline_routing.learner.split import split
from trunkline_routing.learner.trust import Sample, trusted
from trunkline_routing.learner.trying import Trying

SHADOW_SHARE: Final = 1.0
"""Share of the queries that a shadow decides too."""
MAX_TRIED: Final = 4096
"""Proposals that are remembered as tried, over all tenants."""


class Suggesting:
    """Proposes policies."""

    def __init__(self, trying: Trying, control: Control, accuracy_of: Callable[[str, float], float | None]) -> None:
        """`accuracy_of` tells a tenant's routing accuracy if it was measured since a Unix time."""
        self._trying = trying
        self._control = control
        self._accuracy_of = accuracy_of
        self._tried: Recent[bool] = Recent(MAX_TRIED)

    async def propose(
        self, scene: Scene, policy: RoutingPolicy, memory: Memory, since_s: float, deadline: Deadline
    ) -> Learned:
        """Begin a rollout if feedback since a Unix time gives a better policy. Raises as `Learning.look`."""
        feedback = await asyncio.to_thread(trusted, memory.since(since_s))
        least = policy.learning.min_samples
        if len(feedback.samples) < least:
            return Learned(f"{len(feedback.samples)} of {least} samples that can be trusted", label="few_samples")
        to_learn, held = split(feedback.samples)
        drafts = await asyncio.to_thread(_drafts, policy, to_learn)
        if not held or not drafts:
            return Learned("feedback has nothing that the policy does not have", label="nothing_new")
        live = await self._trying.live(scene, policy, held, deadline)
        best = await self._trying.best(scene, policy, drafts, held, deadline)
        learned = Learned(
            verdict(policy, live.measure, best.measure),
            live_success=live.measure.held_back.rate,
            proposal_success=best.measure.held_back.rate,
            sample_count=len(held),
            label="not_better",
        )
        if learned.outcome:
            return learned
        figures = _figures(live.measure, best.measure, len(to_learn), feedback.distrusted_count)
        accuracy = self._accuracy_of(scene.tenant_id, 0.0)
        if accuracy is not None:
            figures["accuracy"] = accuracy
        return await self._begin(scene, policy, best.policy, figures, learned, deadline)

    async def _begin(
        self,
        scene: Scene,
        policy: RoutingPolicy,
        proposed: RoutingPolicy,
        figures: dict[str, float],
        learned: Learned,
        deadline: Deadline,
    ) -> Learned:
        yaml = await asyncio.to_thread(to_yaml, proposed)
        digest = f"{scene.tenant_id} {digest_of(yaml.encode())}"
        if self._tried.get(digest):
            return replace(learned, outcome="what feedback suggests was tried and dropped", label="tried")
        automatic = policy.learning.mode == "automatic"
        rates = (
            f"right {learned.proposal_success:.1%} of {learned.sample_count} held back, {learned.live_success:.1%} now"
        )
        proposal = Proposal(
            yaml=yaml,
            state=RolloutState.SHADOW if automatic else RolloutState.PROPOSED,
            share=SHADOW_SHARE if automatic else policy.learning.canary_share,
            comment=f"learner: {rates}",
            evaluation=figures,
        )
        rollout_id = await self._control.begin(scene.tenant_id, proposal, deadline)
        self._tried.put(digest, value=True)
        state = "in the shadow" if automatic else "proposed"
        return replace(learned, outcome=f"{state}: {rates}", rollout_id=rollout_id, label=proposal.state.value)


def _drafts(policy: RoutingPolicy, samples: Sequence[Sample]) -> list[RoutingPolicy]:
    """Return the policies to try; the plainest first, because it is taken where others are no better."""
    richer = with_examples(policy, samples)
    worded = with_keywords(richer)
    drafts: list[RoutingPolicy] = []
    for draft in (richer, worded):
        if draft != policy and draft not in drafts:
            drafts.append(draft)
    return drafts


def _figures(live: Measured, proposal: Measured, learned_count: int, distrusted_count: int) -> dict[str, float]:
    return {
        "live_success": live.held_back.rate,
        "proposal_success": proposal.held_back.rate,
        "samples": float(proposal.held_back.count),
        "learned_samples": float(learned_count),
        "distrusted_samples": float(distrusted_count),
        "golden": float(proposal.golden.count),
        "golden_live": live.golden.rate,
        "golden_proposal": proposal.golden.rate,
    }
