"""Use case: move what the learner began by one step, and take back what it applied if callers are served worse."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from trunkline_map.entries import RolloutEntry, RolloutState
from trunkline_mesh.deadline import Deadline
from trunkline_policy.model import RoutingPolicy
from trunkline_routing.learner.credentials import is_learner
from trunkline_routing.learner.learned import Learned
from trunkline_routing.learner.memories import DAY_S, Memory
from trunkline_routing.learner.ports import Control, Version
from trunkline_routing.learner.rollout_law import Act, Evidence, Step, fell, next_step
from trunkline_routing.learner.scene import Scene

WATCH_S: Final = 7 * DAY_S
"""Time after applying a proposal in which a fall of success takes it back."""
WATCH_SAMPLES: Final = 20
"""Decisions with feedback before and after, from which such a fall is told."""


class Advancing:
    """Steps of rollouts that learners began. Persons' rollouts and versions are never touched."""

    def __init__(
        self,
        control: Control,
        accuracy_of: Callable[[str, float], float | None],
        now: Callable[[], float] = time.time,
    ) -> None:
        """`accuracy_of` tells a tenant's routing accuracy if it was measured since a Unix time."""
        self._control = control
        self._accuracy_of = accuracy_of
        self._now = now

    async def advance(
        self, scene: Scene, rollout: RolloutEntry, policy: RoutingPolicy, memory: Memory, deadline: Deadline
    ) -> Learned:
        """Move the learner's own rollout by one step; a person's is never touched."""
        if not is_learner(rollout.actor):
            return Learned("a person's rollout is under way", rollout.rollout_id, label="waits")
        control, variant = memory.arms(rollout.rollout_id)
        shadow_count, agreed_count = memory.shadowed(rollout.rollout_id)
        evidence = Evidence(
            shadow_count=shadow_count,
            shadow_agreed_count=agreed_count,
            control=control,
            variant=variant,
            accuracy=self._accuracy_of(scene.tenant_id, rollout.change_time_s),
            live_version=scene.pointer.version,
            now_s=self._now(),
        )
        step = next_step(rollout, evidence)
        if policy.learning.mode != "automatic" and evidence.live_version == rollout.base_version:
            step = Step(Act.KEEP, "a person decides on it")
        await self._take(scene, rollout, step, policy.learning.canary_share, deadline)
        figures = dict(rollout.evaluation)
        return Learned(
            step.why,
            rollout.rollout_id,
            figures.get("live_success", 0.0),
            figures.get("proposal_success", 0.0),
            int(figures.get("samples", 0)),
            label=step.act.value,
        )

    async def _take(self, scene: Scene, rollout: RolloutEntry, step: Step, share: float, deadline: Deadline) -> None:
        if step.act is Act.CANARY:
            await self._control.move(
                scene.tenant_id, rollout, RolloutState.CANARY, share, f"learner: {step.why}", deadline
            )
        elif step.act in (Act.APPLY, Act.DROP):
            await self._control.end(
                scene.tenant_id,
                rollout.rollout_id,
                apply=step.act is Act.APPLY,
                comment=f"learner: {step.why}",
                deadline=deadline,
            )

    async def watch(
        self, scene: Scene, policy: RoutingPolicy, memory: Memory, versions: Sequence[Version], deadline: Deadline
    ) -> Learned | None:
        """Take back a version that the learner applied by itself, if callers are served worse since."""
        if policy.learning.mode != "automatic" or len(versions) < 2:
            return None
        current, before = versions[0], versions[1]
        if current.version != scene.pointer.version or not is_learner(current.actor) or current.restored_version:
            return None
        then, since = memory.of_version(before.version), memory.of_version(current.version)
        if self._now() - current.change_time_s > WATCH_S or not fell(then, since, WATCH_SAMPLES):
            return None
        why = f"right {since.rate:.1%} of {since.count} since version {current.version}, {then.rate:.1%} before"
        await self._control.roll_back(
            scene.tenant_id, before.version, scene.pointer.revision, f"learner: {why}", deadline
        )
        return Learned(f"rolled back to version {before.version}: {why}", label="rolled_back")
