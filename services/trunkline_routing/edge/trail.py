"""Keeps the account of one request while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import chain, islice
from typing import Final

from google.protobuf import duration_pb2

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.request import RequestScope
from trunkline_routing.edge.model import Choice, Decision, Gate
from trunkline_routing.edge.terms import Terms

MAX_ENTRIES: Final = 64
"""Entries of a trail over all its lists, unless the caller asked to have everything explained."""
MAX_REASONS: Final = 32
MAX_ATTEMPTS: Final = 16
MAX_NOTES: Final = 8


def set_seconds(duration: duration_pb2.Duration, seconds: float) -> None:
    """Set a new Duration without the checks that its helpers make; `seconds` is never negative here."""
    whole = int(seconds)
    if whole:
        duration.seconds = whole
    duration.nanos = int((seconds - whole) * 1e9)


class TrailRecorder:
    """Builds the trail of one request, in the order in which things happen."""

    __slots__ = ("asked_outside", "embedded", "message", "passages", "places", "reranked", "searched", "written")

    def __init__(self, scope: RequestScope, region_id: str) -> None:
        """Begin with what the server's stages know."""
        self.message = trail_pb.Trail(request_id=scope.request_id, router_region=region_id)
        self.embedded = False
        """True once a query was embedded by a model or a shared cache, rather than remembered here."""
        self.asked_outside = False
        """True once a chooser outside was asked for the decision, and answered."""
        self.searched = False
        """True once retrieval has begun."""
        self.places: tuple[str, ...] = ()
        """The collections that it searches."""
        self.reranked = False
        """True once candidates were scored."""
        self.passages = 0
        """Documents of a write that a model was asked to embed."""
        self.written = False
        """True once one region has a write, or its caller gave it up while regions were asked."""
        set_seconds(self.message.deadline, scope.deadline.remaining_s())
        if scope.deadline_capped:
            self.degrade(trail_pb.DEGRADATION_REASON_DEADLINE_CAPPED)

    def map(self, gate: Gate, age_s: float, *, aged_after_s: float) -> None:
        """Tell which map the answer rests on."""
        self.message.map.map_token = gate.snapshot.token
        set_seconds(self.message.map.age, age_s)
        if age_s > aged_after_s:
            self.degrade(trail_pb.DEGRADATION_REASON_MAP_AGED)

    def terms(self, terms: Terms, notes: Iterable[quota_pb.LimitNote] = ()) -> None:
        """Tell the tier's level, and limits that are nearly used up: a budget first, then `notes`."""
        self.message.level = terms.level
        self.message.limit_notes.extend(islice(chain(terms.notes, notes), MAX_NOTES))

    def degrade(self, reason: trail_pb.DegradationReason.ValueType, subject: str = "") -> None:
        """Tell of something that makes the answer less than asked for; the same thing only once."""
        for known in self.message.degradations:
            if known.reason == reason and known.subject == subject:
                return
        self.message.degradations.add(reason=reason, subject=subject)

    def stage(self, name: trail_pb.StageName.ValueType, budget: Deadline) -> Timed:
        """Time a stage that may take until `budget`; entering gives the stage's entry."""
        entry = self.message.stages.add(name=name)
        set_seconds(entry.budget, budget.remaining_s())
        return Timed(entry)

    def adopt(self, other: TrailRecorder) -> None:
        """Tell also what was done for several requests at once."""
        self.message.stages.extend(other.message.stages)
        for known in other.message.degradations:
            self.degrade(known.reason, known.subject)

    def skipped(self, name: trail_pb.StageName.ValueType) -> None:
        """Tell of a stage that was left out."""
        self.message.stages.add(name=name, skipped=True)

    def admission(self, queue_wait_s: float, spend_s: float, budget_s: float) -> None:
        """Tell what waiting for a slot and spending quota took."""
        entry = self.message.stages.add(name=trail_pb.STAGE_NAME_ADMISSION)
        set_seconds(entry.budget, budget_s)
        set_seconds(entry.elapsed, queue_wait_s + spend_s)

    def decision(self, decision: Decision, *, explain: bool, decision_id: str = "") -> None:
        """Tell how the collections were chosen."""
        entry = self.message.decision
        entry.strategy = decision.strategy
        entry.confidence = decision.confidence
        entry.policy_version = decision.policy_version
        entry.cached = decision.cached
        if explain:
            entry.reasons.extend(decision.reasons[:MAX_REASONS])
        if not decision.policy_digest:
            return
        entry.decision_id = decision_id
        entry.cost_units = decision.cost_units
        entry.head_digest = decision.head_digest
        if decision.in_scope is not None:
            entry.in_scope = decision.in_scope
        if decision.cached:
            entry.steps.add(stage=trail_pb.DECISION_STAGE_CACHE, outcome=trail_pb.DECISION_STAGE_OUTCOME_DECIDED)
        for step in decision.steps:
            told = entry.steps.add(
                stage=step.stage, outcome=step.outcome, confidence=step.confidence, cost_units=step.cost_units
            )
            set_seconds(told.elapsed, step.elapsed_s)
        for one in decision.assignments:
            entry.assignments.add(
                experiment=one.experiment, arm="variant" if one.variant else "control", shadow=one.shadow
            )

    def collection(self, choice: Choice) -> trail_pb.CollectionTrail:
        """Begin the account of one collection."""
        return self.message.collections.add(
            collection=choice.entry.collection_id, space_id=choice.entry.space_id, confidence=choice.confidence
        )

    def cost(self, reserved_tokens: int, charged_tokens: int, *, micros: int = 0, price_version: str = "") -> None:
        """Tell what the request cost, in quota and by the price list."""
        cost = self.message.cost
        cost.reserved_tokens = reserved_tokens
        cost.charged_tokens = charged_tokens
        cost.charged_micros = micros
        cost.price_version = price_version

    def finish(self, *, explain: bool) -> trail_pb.Trail:
        """Return the trail, cut to its limit."""
        message = self.message
        for kept in (1, 0):  # degradations are never left out
            if explain or _entries(message) <= MAX_ENTRIES:
                break
            for collection in message.collections:
                del collection.attempts[: len(collection.attempts) - kept]  # the last one tells how it ended
            message.truncated = True
        if not explain and message.truncated:
            _cut_collections(message)
        return message


class Timed:
    """Writes down how long its body took, also if that failed. A generator would cost four times as much."""

    __slots__ = ("_began_s", "_entry")

    def __init__(self, entry: trail_pb.Stage) -> None:
        """Begin now."""
        self._entry = entry
        self._began_s = time.perf_counter()

    def __enter__(self) -> trail_pb.Stage:
        """Return the stage's entry."""
        return self._entry

    def __exit__(self, *_: object) -> None:
        """Write the time down."""
        set_seconds(self._entry.elapsed, time.perf_counter() - self._began_s)


def _cut_collections(message: trail_pb.Trail) -> None:
    """Leave out the accounts that do not fit: first of those that were served, which say least."""
    room = max(0, MAX_ENTRIES - len(message.stages) - len(message.degradations))
    if len(message.collections) > room:
        kept = sorted(message.collections, key=lambda account: bool(account.served_region))[:room]
        del message.collections[:]
        message.collections.extend(kept)


def _entries(message: trail_pb.Trail) -> int:
    own = len(message.stages) + len(message.degradations) + len(message.collections)
    if own + len(message.collections) * MAX_ATTEMPTS <= MAX_ENTRIES:
        return own  # there cannot be too many, so they need not be counted
    return own + sum(len(collection.attempts) for collection in message.collections)
