"""Use case: one look at a tenant's feedback. It moves what is under way by one step, else it tries to propose.

Everything that must be remembered stands in the map and in the feedback. A step changes one thing by compare-and-set,
and what it rests on is read anew each time, so that a crash between two steps, or a second learner, repeats harmlessly.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from trunkline_map.source import MapSource
from trunkline_mesh import metrics
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DeadlineExceeded, RevisionConflict, RolloutActive, RolloutUnknown
from trunkline_routing.feedback.journal import FeedbackStore
from trunkline_routing.learner.advancing import Advancing
from trunkline_routing.learner.credentials import is_learner
from trunkline_routing.learner.learned import Learned
from trunkline_routing.learner.memories import DAY_S, recall
from trunkline_routing.learner.ports import Control, Policies, Version
from trunkline_routing.learner.scene import scene_of
from trunkline_routing.learner.suggesting import Suggesting

_OUTCOMES = metrics.counter("learner_rounds", "Looks at a tenant's feedback by what came of them.", ("outcome",))


class Learning:
    """Learns from feedback, one tenant at a time."""

    def __init__(
        self,
        source: MapSource,
        policies: Policies,
        store: FeedbackStore,
        suggesting: Suggesting,
        advancing: Advancing,
        control: Control,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Use the ports."""
        self._source = source
        self._policies = policies
        self._store = store
        self._suggesting = suggesting
        self._advancing = advancing
        self._control = control
        self._now = now
        self._turn = asyncio.Lock()

    async def look(self, tenant_id: str, deadline: Deadline) -> Learned:
        """Look at the tenant's feedback and take at most one step; one tenant at a time.

        Raises TenantUnknown, PolicyUnknown, BackendUnavailable, what the control role refuses, and DeadlineExceeded
        where others' looks take all the time.
        """
        try:
            async with asyncio.timeout(deadline.remaining_s()):
                await self._turn.acquire()
        except TimeoutError as exc:
            raise DeadlineExceeded from exc
        try:
            learned = await self._look(tenant_id, deadline)
        except (RevisionConflict, RolloutActive, RolloutUnknown):
            learned = Learned("somebody else changed the policy meanwhile", label="conflict")
        finally:
            self._turn.release()
        _OUTCOMES.labels(learned.label).inc()
        return learned

    async def _look(self, tenant_id: str, deadline: Deadline) -> Learned:
        scene = scene_of(self._source.snapshot, tenant_id)
        pointer = scene.pointer
        policy = await self._policies.read(scene.jurisdictions, pointer.form_digest, pointer.digest)
        if policy.learning.mode == "off":
            return Learned("learning is off", label="off")
        memory = await recall(
            self._store,
            scene.jurisdictions,
            tenant_id,
            since_s=self._now() - policy.learning.retention_days * DAY_S,
            max_samples=policy.learning.max_samples,
        )
        if pointer.rollout is not None:
            return await self._advancing.advance(scene, pointer.rollout, policy, memory, deadline)
        versions = await self._control.versions(tenant_id, deadline)
        taken_back = await self._advancing.watch(scene, policy, memory, versions, deadline)
        return taken_back or await self._suggesting.propose(scene, policy, memory, _since(versions), deadline)


def _since(versions: Sequence[Version]) -> float:
    """After it took a version back, the learner looks at later feedback alone: the earlier would propose the same."""
    newest = next(iter(versions), None)
    if newest is None or not newest.restored_version or not is_learner(newest.actor):
        return 0.0
    return newest.change_time_s
