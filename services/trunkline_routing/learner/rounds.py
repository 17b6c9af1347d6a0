"""What the learner does by itself: it follows the map for heads to train, and looks at every tenant now and then."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final

from trunkline_map.entries import CollectionEntry, PolicyPointer
from trunkline_map.snapshot import MapSnapshot
from trunkline_map.source import MapSource
from trunkline_mesh import metrics
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError
from trunkline_mesh.logs import get_logger
from trunkline_policy import model as policy_model
from trunkline_routing.feedback.journal import FeedbackStore
from trunkline_routing.learner.accuracy import Accuracies
from trunkline_routing.learner.duty import in_charge
from trunkline_routing.learner.head_upkeep import HeadUpkeep
from trunkline_routing.learner.journal import Journal
from trunkline_routing.learner.learning import Learning
from trunkline_routing.learner.memories import DAY_S, MAX_RECORDS, recall
from trunkline_routing.learner.ports import Policies, TrainingFailedError
from trunkline_routing.learner.scene import scene_of
from trunkline_routing.learner.work_queue import WorkQueue

LOOK_S: Final = 600.0
"""Time that one tenant's look may take, measuring and training included."""
TENANTS_A_SLICE: Final = 500
"""Tenants that are compared before others may go on: some tenths of a millisecond."""

log = get_logger("learner")

_WAITING = metrics.gauge("learner_waiting", "Tenants that wait for a head to be trained.")
_FAILURES = metrics.counter("learner_failures", "Work of the learner that failed and is tried again.", ("work",))

_Seen = tuple[PolicyPointer, tuple[CollectionEntry, ...], int]


class Follower:
    """Compares the map with what was seen of it, and lets the tenants whose policies changed come up."""

    def __init__(self, source: MapSource, queue: WorkQueue, region_id: str) -> None:
        """Watch `source` for the tenants of the learner of `region_id`."""
        self._source = source
        self._queue = queue
        self._region_id = region_id
        self._last: MapSnapshot | None = None
        self._seen: dict[str, _Seen] = {}

    async def compare(self) -> None:
        """Queue every tenant in charge whose policy, collections or spaces are not those that were seen. No I/O."""
        if not self._source.ready():
            return
        snapshot = self._source.snapshot
        if snapshot is self._last:
            return
        spaces = hash(snapshot.spaces())
        gone = set(self._seen)
        for number, tenant in enumerate(snapshot.tenants()):
            if number % TENANTS_A_SLICE == 0:
                await asyncio.sleep(0)
            pointer = snapshot.policy(tenant.tenant_id)
            if pointer is None or not in_charge(snapshot, tenant, self._region_id):
                continue
            gone.discard(tenant.tenant_id)
            now = (pointer, snapshot.collections_of(tenant.tenant_id), spaces)
            before = self._seen.get(tenant.tenant_id)
            if before is None or before[0] is not pointer or before[1] is not now[1] or before[2] != spaces:
                self._seen[tenant.tenant_id] = now
                self._queue.add(tenant.tenant_id)
        for tenant_id in gone:
            del self._seen[tenant_id]
        self._last = snapshot

    def tenants(self) -> frozenset[str]:
        """Return the tenants with a policy that this learner works for, as last compared."""
        return frozenset(self._seen)


class Rounds:
    """The learner's own loops. Each ends only by being cancelled; a tenant's failure is that tenant's alone."""

    def __init__(
        self,
        source: MapSource,
        region_id: str,
        upkeep: HeadUpkeep,
        learning: Learning,
        accuracies: Accuracies,
        journal: Journal,
        policies: Policies,
        store: FeedbackStore,
        *,
        poll_s: float,
        round_s: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Compare the map every `poll_s`; look at every tenant every `round_s`."""
        self._source = source
        self._region_id = region_id
        self._queue = WorkQueue()
        self._follower = Follower(source, self._queue, region_id)
        self._upkeep = upkeep
        self._learning = learning
        self._accuracies = accuracies
        self._journal = journal
        self._policies = policies
        self._store = store
        self._poll_s = poll_s
        self._round_s = round_s
        self._now = now

    async def run(self) -> None:
        """Follow the map, train and look until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._train())
            group.create_task(self._look_at_all())

    async def _follow(self) -> None:
        while True:
            await self._follower.compare()
            _WAITING.set(len(self._queue))
            await asyncio.sleep(self._poll_s)

    async def _train(self) -> None:
        while True:
            tenant_id = await self._queue.next()
            try:
                await self._upkeep.turn(tenant_id)
            except Exception as exc:  # noqa: BLE001 - one tenant's defect must not end the work for all others
                pause_s = self._queue.failed(tenant_id)
                _failed("head", "head could not be made", exc, pause_s)
            else:
                self._queue.done(tenant_id)

    async def _look_at_all(self) -> None:
        while True:
            # Jittered, so that the learners of regions that began together do not stay together.
            await asyncio.sleep(self._round_s * random.uniform(0.9, 1.1))  # noqa: S311 - no secret
            tenants = self._follower.tenants()
            for tenant_id in sorted(tenants):
                await self.look_at(tenant_id)
            self._accuracies.keep(tenants)
            await self.forget()

    async def forget(self) -> None:
        """Forget old feedback of tenants without a policy, or gone altogether: nobody else looks at it.

        Not at once: a map that was restored from an old backup must not cost a tenant its feedback.
        """
        snapshot = self._source.snapshot
        region = snapshot.region(self._region_id)
        if region is None:
            return
        before_s = self._now() - policy_model.Learning().retention_days * DAY_S
        try:
            for tenant_id in await self._store.tenants(region.jurisdiction):
                if snapshot.policy(tenant_id) is None:
                    await self._store.trim(region.jurisdiction, tenant_id, before_s=before_s, max_records=MAX_RECORDS)
        except DomainError as exc:
            _failed("forget", "feedback could not be forgotten", exc, self._round_s)

    async def look_at(self, tenant_id: str) -> None:
        """Measure a tenant and look at its feedback; a failure is logged, and the next round tries again."""
        deadline = Deadline.after(LOOK_S)
        try:
            await self._measure(tenant_id, deadline)
            self._journal.note(tenant_id, await self._learning.look(tenant_id, deadline))
        except Exception as exc:  # noqa: BLE001 - as above
            _failed("look", "feedback could not be looked at", exc, self._round_s)

    async def _measure(self, tenant_id: str, deadline: Deadline) -> None:
        """Trim the tenant's feedback to what its policy remembers, and measure its accuracy."""
        scene = scene_of(self._source.snapshot, tenant_id)
        pointer = scene.pointer
        policy = await self._policies.read(scene.jurisdictions, pointer.form_digest, pointer.digest)
        learning = policy.learning
        before_s = self._now() - learning.retention_days * DAY_S
        for jurisdiction in sorted(scene.jurisdictions):
            await self._store.trim(jurisdiction, tenant_id, before_s=before_s, max_records=MAX_RECORDS)
        memory = await recall(
            self._store, scene.jurisdictions, tenant_id, since_s=before_s, max_samples=learning.max_samples
        )
        await self._accuracies.measure(scene, policy, memory, deadline)


def _failed(work: str, event: str, error: Exception, pause_s: float) -> None:
    """Count and log a failure: with its stack where it is a defect of ours."""
    _FAILURES.labels(work).inc()
    expected = isinstance(error, DomainError | TrainingFailedError)
    tell = log.warning if expected else log.error
    tell(event, error_type=type(error).__name__, seconds=pause_s, exc_info=None if expected else error)
