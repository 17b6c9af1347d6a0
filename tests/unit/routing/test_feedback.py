"""What becomes of what callers say of decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.unit.routing.world import AP, EU, TENANT, entries, scope

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_map.testing import static_map
from trunkline_mesh import errors
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.request import Principal, RequestScope
from trunkline_policy.model import Learning
from trunkline_routing.edge.feedback import Feedback, Noted, judged
from trunkline_routing.edge.feedback_limits import CALLER_PER_MINUTE, TENANT_PER_MINUTE, FeedbackLimits
from trunkline_routing.edge.feedback_request import FeedbackCommand, ResultSignal, Signal, parse_feedback
from trunkline_routing.edge.model import Gate
from trunkline_routing.edge.receipts import Receipt, Receipts, text_digest
from trunkline_routing.feedback.records import FeedbackRecord, Record

NOW_S = 1_800_000_000.0
TEXT = "where is the report"


class MemoryStore:
    """Keeps records in memory, or fails, or never answers."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, Record]] = []
        self.failure: errors.DomainError | None = None
        self.hangs = False

    async def append(self, jurisdiction: str, record: Record) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure:
            raise self.failure
        self.kept.append((jurisdiction, record))

    async def read(self, jurisdiction: str, tenant_id: str, *, since_s: float, limit: int) -> list[Record]:
        return [record for _, record in self.kept]

    async def trim(self, jurisdiction: str, tenant_id: str, *, before_s: float, max_records: int) -> int:
        return 0

    async def tenants(self, jurisdiction: str) -> list[str]:
        return []


class Desk:
    """The use case with what it needs."""

    def __init__(self, region_id: str = EU, learning: Learning | None = None) -> None:
        self.now_s = 0.0
        self.store = MemoryStore()
        self.receipts = Receipts(bytes(32), lambda: NOW_S)
        self.learning: Learning | None = learning or Learning()
        self.feedback = Feedback(
            static_map(*entries()),
            self.receipts,
            self.store,
            self._learning_of,
            FeedbackLimits(lambda: self.now_s),
            region_id=region_id,
            now=lambda: NOW_S + 5,
        )

    async def _learning_of(self, gate: Gate, deadline: Deadline) -> Learning | None:
        return self.learning

    def decision(self, *chosen: str, tenant_id: str = TENANT) -> str:
        return self.receipts.seal(
            Receipt(
                tenant_id=tenant_id,
                at_s=NOW_S,
                policy_version=3,
                policy_digest="cd" * 32,
                strategy=trail_pb.STRATEGY_SEMANTIC,
                collections=chosen or ("both",),
                text_digest=text_digest(TEXT),
                assignments=(("trial", "variant", False),),
            )
        )

    async def say(
        self, decision_id: str, *, text: str = TEXT, corrected: str = "europe", caller: str = "ann", left_s: float = 5.0
    ) -> Noted:
        command = FeedbackCommand(decision_id, text, (), corrected)
        return await self.feedback.run(TENANT, command, asked(caller, left_s))


def asked(caller: str, left_s: float = 5.0) -> RequestScope:
    request = scope(left_s)
    request.principal = Principal(caller, TENANT, frozenset(), "token", NOW_S + 600)
    return request


async def test_feedback_is_kept_with_what_was_decided() -> None:
    """In the jurisdiction of this router, under a name of the caller that tells nobody who it is."""
    desk = Desk()
    decision_id = desk.decision("both", "states")

    noted = await desk.say(decision_id)

    [(jurisdiction, record)] = desk.store.kept
    assert noted == Noted(kept=True, replaced=False)
    assert jurisdiction == "eu"
    assert record == FeedbackRecord(
        tenant_id=TENANT,
        at_s=NOW_S + 5,
        caller=desk.receipts.caller_of(TENANT, "ann"),
        decision=desk.receipts.open(decision_id, TENANT).nonce.hex(),
        policy_version=3,
        policy_digest="cd" * 32,
        strategy="SEMANTIC",
        chosen=("both", "states"),
        text=TEXT,
        right=("europe",),
        success=False,
        assignments=(("trial", "variant", False),),
    )


async def test_the_same_caller_replaces_what_it_said() -> None:
    """Another caller, or another decision, does not."""
    desk = Desk()
    first, second = desk.decision(), desk.decision()

    told = [await desk.say(first), await desk.say(first), await desk.say(second), await desk.say(first, caller="bob")]

    assert [noted.replaced for noted in told] == [False, True, False, False]


@pytest.mark.parametrize("learning", [Learning(mode="off"), None])
async def test_without_learning_nothing_is_kept(learning: Learning | None) -> None:
    """A policy whose learning is off, or none at all, needs nobody's words."""
    desk = Desk()
    desk.learning = learning

    assert await desk.say(desk.decision()) == Noted(kept=False, replaced=False)
    assert desk.store.kept == []


async def test_another_text_than_was_decided_is_refused() -> None:
    """Nobody can teach a policy a text that it never saw."""
    desk = Desk()
    with pytest.raises(errors.FieldInvalid) as refused:
        await desk.say(desk.decision(), text="something else")
    assert [violation.field for violation in refused.value.violations] == ["text"]
    assert desk.store.kept == []


async def test_no_text_is_counted_and_kept_without() -> None:
    """It tells how good decisions are; there is nothing to learn from it."""
    desk = Desk()
    assert (await desk.say(desk.decision(), text="")).kept
    [(_, record)] = desk.store.kept
    assert isinstance(record, FeedbackRecord)
    assert record.text == ""


async def test_a_collection_that_is_not_there_is_refused() -> None:
    """A correction must be one that routing could follow."""
    desk = Desk()
    with pytest.raises(errors.CollectionUnknown) as refused:
        await desk.say(desk.decision(), corrected="nowhere")
    assert refused.value.metadata["collection"] == "nowhere"


async def test_another_tenant_s_decision_is_unknown() -> None:
    """A tenant's feedback never reaches another's routing."""
    desk = Desk()
    with pytest.raises(errors.DecisionUnknown):
        await desk.say(desk.decision(tenant_id="birch"))


async def test_a_router_outside_takes_no_feedback() -> None:
    """The text may not be there at all."""
    desk = Desk(AP)
    with pytest.raises(errors.ResidencyRouterOutside):
        await desk.say(desk.decision())
    assert desk.store.kept == []


async def test_a_store_that_hangs_is_given_the_time_that_is_left() -> None:
    """The caller's deadline holds."""
    desk = Desk()
    desk.store.hangs = True
    with pytest.raises(errors.BackendTimeout):
        await desk.say(desk.decision(), left_s=0.05)


async def test_a_store_that_fails_is_told() -> None:
    """Nothing is said to be kept that is not; the next try is no replacement of it."""
    desk = Desk()
    desk.store.failure = errors.BackendUnavailable()
    decision_id = desk.decision()
    with pytest.raises(errors.BackendUnavailable):
        await desk.say(decision_id)
    desk.store.failure = None
    assert await desk.say(decision_id) == Noted(kept=True, replaced=False)


async def test_one_caller_s_flood_ends_at_its_own_bound() -> None:
    """10,000 corrections: a minute's worth is taken, the rest is told when to come back, and others are still heard."""
    desk = Desk()
    decision_id, taken, waits = desk.decision(), 0, set()
    for _ in range(10_000):
        try:
            await desk.say(decision_id)
            taken += 1
        except errors.FeedbackLimited as limited:
            waits.add(round(limited.retry_delay_s or 0.0, 3))

    assert taken == CALLER_PER_MINUTE
    assert waits == {1.0}
    assert (await desk.say(decision_id, caller="bob")).kept
    desk.now_s += 1.5
    assert (await desk.say(decision_id)).kept


async def test_all_callers_together_have_a_bound() -> None:
    """Many subjects of one tenant are no way around it."""
    limits = FeedbackLimits(lambda: 0.0)
    waits = [limits.wait_s(TENANT, f"caller-{number}") for number in range(TENANT_PER_MINUTE + 1)]

    assert [wait for wait in waits if wait] == waits[-1:]
    assert limits.wait_s("birch", "caller-1") == 0


_CASES: Sequence[tuple[str, tuple[tuple[str, str], ...], str, tuple[tuple[str, ...], bool | None]]] = (
    ("corrected", (), "europe", (("europe",), False)),
    ("corrected to a chosen one", (), "both", (("both",), True)),
    ("accepted", (("both", "accepted"), ("states", "rejected")), "", (("both",), True)),
    ("clicked", (("both", "clicked"), ("both", "clicked")), "", (("both",), True)),
    ("accepted before clicked", (("states", "clicked"), ("both", "accepted")), "", (("both",), True)),
    ("all rejected", (("both", "rejected"), ("states", "rejected")), "", ((), False)),
    ("accepted elsewhere", (("europe", "accepted"),), "", ((), None)),
    ("corrected before accepted", (("both", "accepted"),), "europe", (("europe",), False)),
)


@pytest.mark.parametrize(("results", "corrected", "said"), [case[1:] for case in _CASES], ids=[c[0] for c in _CASES])
def test_what_feedback_says(
    results: tuple[tuple[str, str], ...], corrected: str, said: tuple[tuple[str, ...], bool | None]
) -> None:
    """Where the query belongs and whether the decision was right, for a decision of `both` and `states`."""
    signals = tuple(ResultSignal(collection, Signal(signal)) for collection, signal in results)

    assert judged(FeedbackCommand("id", "", signals, corrected), ("both", "states")) == said


def test_a_message_becomes_a_command() -> None:
    """With its signals by name."""
    request = routing_pb.RecordFeedbackRequest(decision_id="id", text="t", corrected_collection="europe")
    request.results.add(collection="both", document_id="d#1", signal=routing_pb.FEEDBACK_SIGNAL_CLICKED)

    assert parse_feedback(request) == FeedbackCommand("id", "t", (ResultSignal("both", Signal.CLICKED),), "europe")


def test_everything_that_is_wrong_is_told_at_once() -> None:
    """Each field by its name."""
    request = routing_pb.RecordFeedbackRequest(decision_id="", text="x" * 4097, corrected_collection="No Name")
    request.results.add(collection="", document_id=" ")

    with pytest.raises(errors.FieldInvalid) as refused:
        parse_feedback(request)

    fields = [violation.field for violation in refused.value.violations]
    result = ["results[0].collection", "results[0].document_id", "results[0].signal"]
    assert fields == ["decision_id", "text", "corrected_collection", *result]


@pytest.mark.parametrize("count", [0, 33])
def test_feedback_says_something_and_not_too_much(count: int) -> None:
    """1 to 32 results, unless a collection is corrected."""
    request = routing_pb.RecordFeedbackRequest(decision_id="id")
    for _ in range(count):
        request.results.add(collection="both", signal=routing_pb.FEEDBACK_SIGNAL_CLICKED)

    with pytest.raises(errors.FieldInvalid):
        parse_feedback(request)
