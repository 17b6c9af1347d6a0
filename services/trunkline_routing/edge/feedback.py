"""Use case: a caller tells how good a decision was."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.source import MapSource
from trunkline_mesh import metrics
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import CollectionUnknown, CredentialMissing, FeedbackLimited, invalid_field
from trunkline_mesh.request import RequestScope
from trunkline_policy.model import Learning
from trunkline_routing.edge import gate as gates
from trunkline_routing.edge.feedback_limits import FeedbackLimits
from trunkline_routing.edge.feedback_request import FeedbackCommand, Signal
from trunkline_routing.edge.model import Gate
from trunkline_routing.edge.receipts import Receipt, Receipts, text_digest
from trunkline_routing.feedback.journal import FeedbackStore
from trunkline_routing.feedback.keeping import within_time
from trunkline_routing.feedback.records import FeedbackRecord

LearningOf: TypeAlias = Callable[[Gate, Deadline], Awaitable[Learning | None]]
"""How a tenant's live policy learns; None without a policy. May raise domain errors."""

_STRATEGY: Final = "STRATEGY_"
_FEEDBACK: Final = metrics.counter("feedback", "Feedback on decisions, by what it says of them.", ("outcome",))


@dataclass(frozen=True, slots=True)
class Noted:
    """What became of one caller's feedback."""

    kept: bool
    """False where the policy's learning is off: it is counted alone."""
    replaced: bool
    """True if this router has heard the same caller on the same decision before."""


class Feedback:
    """Takes what callers say of decisions into the tenant's journal."""

    def __init__(
        self,
        source: MapSource,
        receipts: Receipts,
        store: FeedbackStore,
        learning_of: LearningOf,
        limits: FeedbackLimits,
        *,
        region_id: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Compose from parts; `region_id` is this router's, in whose jurisdiction feedback is kept."""
        self._source = source
        self._receipts = receipts
        self._store = store
        self._learning_of = learning_of
        self._limits = limits
        self._region_id = region_id
        self._now = now

    async def run(self, tenant_id: str, command: FeedbackCommand, scope: RequestScope) -> Noted:
        """Keep what the request's caller says of a decision.

        Raises what the gate raises, FeedbackLimited, DecisionUnknown, FieldInvalid for another text than was decided,
        CollectionUnknown, and BackendUnavailable or BackendTimeout where it cannot be kept.
        """
        gate = await gates.enter(
            self._source, tenant_id=tenant_id, region_id=self._region_id, map_token=b"", deadline=scope.deadline
        )
        caller = self._caller(tenant_id, scope)
        wait_s = self._limits.wait_s(tenant_id, caller)
        if wait_s > 0:
            raise FeedbackLimited(retry_delay_s=wait_s)
        receipt = self._receipts.open(command.decision_id, tenant_id)
        if command.text and text_digest(command.text) != receipt.text_digest:
            raise invalid_field("text", "must be the text that was decided")
        _check_collections(gate, command)
        learning = await self._learning_of(gate, scope.deadline)
        right, success = judged(command, receipt.collections)
        _FEEDBACK.labels({True: "right", False: "wrong", None: "untold"}[success]).inc()
        if learning is None or learning.mode == "off":
            return Noted(kept=False, replaced=False)
        record = _record(receipt, command, right, success, caller, self._now())
        await within_time(self._store.append(gate.region.jurisdiction, record), scope.deadline)
        return Noted(kept=True, replaced=self._limits.heard_before(tenant_id, caller, record.decision))

    def _caller(self, tenant_id: str, scope: RequestScope) -> str:
        if scope.principal is None:
            raise CredentialMissing
        return self._receipts.caller_of(tenant_id, scope.principal.subject)


def judged(command: FeedbackCommand, chosen: Iterable[str]) -> tuple[tuple[str, ...], bool | None]:
    """Return where the query belongs, and whether the decision was right, as far as feedback tells.

    A corrected collection is where it belongs; the decision was right if it had that one, too. Else chosen collections
    whose results were accepted, or with none of these clicked, are right; results that were all rejected say that it
    was wrong. Everything else says nothing.
    """
    decided = frozenset(chosen)
    if command.corrected:
        return (command.corrected,), command.corrected in decided
    for signal in (Signal.ACCEPTED, Signal.CLICKED):
        taken = (one.collection for one in command.results if one.signal is signal and one.collection in decided)
        right = tuple(dict.fromkeys(taken))
        if right:
            return right, True
    rejected = bool(command.results) and all(one.signal is Signal.REJECTED for one in command.results)
    return (), False if rejected else None


def _check_collections(gate: Gate, command: FeedbackCommand) -> None:
    named = [one.collection for one in command.results] + ([command.corrected] if command.corrected else [])
    for name in dict.fromkeys(named):
        if gate.snapshot.collection(gate.tenant.tenant_id, name) is None:
            raise CollectionUnknown(metadata={"collection": name})


def _record(
    receipt: Receipt,
    command: FeedbackCommand,
    right: tuple[str, ...],
    success: bool | None,
    caller: str,
    at_s: float,
) -> FeedbackRecord:
    return FeedbackRecord(
        tenant_id=receipt.tenant_id,
        at_s=at_s,
        caller=caller,
        decision=receipt.nonce.hex(),
        policy_version=receipt.policy_version,
        policy_digest=receipt.policy_digest,
        strategy=trail_pb.Strategy.Name(receipt.strategy).removeprefix(_STRATEGY),
        chosen=receipt.collections,
        text=command.text,
        right=right,
        success=success,
        assignments=receipt.assignments,
    )
