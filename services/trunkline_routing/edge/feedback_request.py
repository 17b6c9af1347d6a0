"""From a message of feedback to plain values, checked against the contract's bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_routing.edge.bounds import DOCUMENT_ID, MAX_TEXT_BYTES, NAME, Violations
from trunkline_routing.edge.receipts import MAX_ID_CHARS

MAX_RESULTS: Final = 32
"""Results that one feedback may tell of."""


class Signal(Enum):
    """What the caller's user did with a result."""

    CLICKED = "clicked"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


_SIGNALS: Final[Mapping[routing_pb.FeedbackSignal.ValueType, Signal]] = {
    routing_pb.FEEDBACK_SIGNAL_CLICKED: Signal.CLICKED,
    routing_pb.FEEDBACK_SIGNAL_ACCEPTED: Signal.ACCEPTED,
    routing_pb.FEEDBACK_SIGNAL_REJECTED: Signal.REJECTED,
}


@dataclass(frozen=True, slots=True)
class ResultSignal:
    """What was done with one result; which document it was is of no use to routing and is not looked at further."""

    collection: str
    signal: Signal


@dataclass(frozen=True, slots=True)
class FeedbackCommand:
    """What a caller says of a decision."""

    decision_id: str
    text: str = ""
    """The query again; empty to be counted alone."""
    results: tuple[ResultSignal, ...] = ()
    corrected: str = ""
    """Where the query belonged; empty if that is not known, or was decided rightly."""


def parse_feedback(request: routing_pb.RecordFeedbackRequest) -> FeedbackCommand:
    """Return what is said; raise FieldInvalid naming every field that is out of bounds, or if nothing is said."""
    found = Violations()
    corrected, results = request.corrected_collection, request.results
    id_fits = 1 <= len(request.decision_id) <= MAX_ID_CHARS
    found.check(id_fits, "decision_id", f"must be 1 to {MAX_ID_CHARS} characters")
    fits = len(request.text.encode()) <= MAX_TEXT_BYTES
    found.check(fits, "text", f"must be at most {MAX_TEXT_BYTES} bytes")
    named = not corrected or NAME.fullmatch(corrected) is not None
    found.check(named, "corrected_collection", "must be 1 to 63 of [a-z0-9-]")
    found.check(len(results) <= MAX_RESULTS, "results", f"must be at most {MAX_RESULTS}")
    found.check(bool(results or corrected), "results", "must tell of a result unless a collection is corrected")
    for index, one in enumerate(results[:MAX_RESULTS]):
        field = f"results[{index}]"
        found.check(NAME.fullmatch(one.collection) is not None, f"{field}.collection", "must be 1 to 63 of [a-z0-9-]")
        document_fits = not one.document_id or DOCUMENT_ID.fullmatch(one.document_id) is not None
        found.check(document_fits, f"{field}.document_id", "must be 1 to 128 of [A-Za-z0-9_.:/#-]")
        found.check(one.signal in _SIGNALS, f"{field}.signal", "must be a known value")
    found.settle()
    signals = tuple(ResultSignal(one.collection, _SIGNALS[one.signal]) for one in results)
    return FeedbackCommand(request.decision_id, request.text, signals, corrected)
