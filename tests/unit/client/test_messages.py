"""Plain arguments become messages, and messages plain results."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import error_reason_pb2 as reason_pb
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_client import AnyOf, Between, Document, Equals, Filter, InvalidRequest, Query, RouterAddress, Vector
from trunkline_client.documents import (
    MAX_UPSERT_BYTES,
    MAX_UPSERT_DOCUMENTS,
    document_from_proto,
    document_to_proto,
    upsert_batches,
)
from trunkline_client.filters import filter_to_proto
from trunkline_client.requests import checked_deadline, new_request_id, search_request
from trunkline_client.results import search_result
from trunkline_client.trail import trail_from_proto

_fields = st.dictionaries(
    st.from_regex(r"[a-z0-9_]{1,12}", fullmatch=True),
    st.one_of(
        st.text(st.characters(codec="utf-8"), max_size=20),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.booleans(),
    ),
    max_size=8,
)


@given(_fields)
def test_documents_survive_the_message(fields: dict[str, str | int | float | bool]) -> None:
    """Every field comes back with its value and its type."""
    document = Document("a/b#c-1", "text", fields)

    back = document_from_proto(document_to_proto(document))

    assert document == back
    assert {name: type(value) for name, value in fields.items()} == {n: type(v) for n, v in back.fields.items()}


def test_a_field_of_another_type_is_refused() -> None:
    """Nothing is turned into text behind the caller's back."""
    with pytest.raises(TypeError, match="field 'tags'"):
        document_to_proto(Document("a", "b", {"tags": ["x"]}))  # type: ignore[dict-item]  # wrong on purpose


@given(st.lists(st.integers(1, 60_000), max_size=200))
def test_batches_keep_order_and_bounds(sizes: list[int]) -> None:
    """All documents come once, in order, in groups that the contract allows."""
    documents = [Document(f"d{index}", "x" * size) for index, size in enumerate(sizes)]

    batches = list(upsert_batches(documents))

    assert documents == [document for batch in batches for document in batch]
    for batch in batches:
        request = routing_pb.UpsertRequest(documents=[document_to_proto(document) for document in batch])
        assert 1 <= len(batch) <= MAX_UPSERT_DOCUMENTS
        assert request.ByteSize() <= MAX_UPSERT_BYTES


def test_a_document_that_is_too_large_stands_alone() -> None:
    """The server refuses it by name; the others are not lost with it."""
    documents = [Document("a", "x"), Document("b", "y" * (MAX_UPSERT_BYTES + 1)), Document("c", "z")]

    assert [[item.document_id for item in batch] for batch in upsert_batches(documents)] == [["a"], ["b"], ["c"]]


def test_filters_become_conditions() -> None:
    """Truth values are no whole numbers, and an open bound stays open."""
    message = filter_to_proto(
        Filter(
            must=[Equals("topic", "files"), Equals("level", 2), Equals("public", True)],
            must_not=[AnyOf("source", ["a", "b"]), Between("year", gte=2000)],
        )
    )

    assert [item.WhichOneof("test") for item in message.must] == ["equals_string", "equals_int", "equals_bool"]
    assert list(message.must_not[0].any_of.values) == ["a", "b"]
    assert message.must_not[1].range.gte == 2000
    assert not message.must_not[1].range.HasField("lte")


def test_a_query_becomes_a_request() -> None:
    """Every part of a query has its field."""
    request = search_request(
        Query(
            text="How?",
            top_k=7,
            collections=["a", "b"],
            filter=Filter(must=[Equals("x", "y")]),
            min_score=0.0,
            include_fields=["title"],
            consistency="primary",
            allow_partial=True,
            explain=True,
            rerank=False,
            rerank_depth=9,
        ),
        b"token",
    )

    assert request.text == "How?"
    assert request.top_k == 7
    assert list(request.collections) == ["a", "b"]
    assert len(request.filter.must) == 1
    assert request.HasField("min_score")
    assert request.consistency == options_pb.CONSISTENCY_PRIMARY
    assert request.allow_partial
    assert request.explain
    assert request.rerank.disabled
    assert request.rerank.depth == 9
    assert request.map_token == b"token"


def test_all_collections_are_asked_for_without_names() -> None:
    """The caller can have everything of the tenant searched, and nothing is searched so unless it says so."""
    assert search_request(Query(text="x", all_collections=True)).all_collections
    assert not search_request(Query(text="x")).all_collections


def test_a_vector_is_sent_as_a_vector() -> None:
    """A query of the caller's own vector carries its space."""
    request = search_request(Query(text=Vector("space", [0.5, 0.25]), collections=["a"]))

    assert request.WhichOneof("query") == "vector"
    assert request.vector.space_id == "space"


@pytest.mark.parametrize(
    "query",
    [
        Query(text="x", top_k=10**12),
        Query(text="\ud800"),
        Query(text=5),  # type: ignore[arg-type]  # wrong on purpose
        Query(text="x", consistency="all"),  # type: ignore[arg-type]  # wrong on purpose
        Query(text="x", top_k=1.5),  # type: ignore[arg-type]  # wrong on purpose
    ],
    ids=["huge", "surrogate", "number", "consistency", "fraction"],
)
def test_what_no_message_can_hold_is_refused_before_sending(query: Query) -> None:
    """Such arguments get the same class and reason as a server's refusal."""
    with pytest.raises(InvalidRequest) as caught:
        search_request(query)

    assert caught.value.reason == "FIELD_INVALID"


@pytest.mark.parametrize("deadline_s", [0.0, -1.0, float("nan"), float("inf")])
def test_absurd_deadlines_are_refused(deadline_s: float) -> None:
    """A deadline is positive and finite."""
    with pytest.raises(InvalidRequest):
        checked_deadline(deadline_s, 1.0)


def test_request_ids_are_made_or_checked() -> None:
    """Without one a fresh one is made; a malformed one is refused before it meets a log."""
    assert new_request_id(None) != new_request_id(None)
    assert new_request_id("a.B-9_") == "a.B-9_"
    for bad in ("", "a b", "x" * 65, "ä"):
        with pytest.raises(InvalidRequest):
            new_request_id(bad)


def _trail() -> trail_pb.Trail:
    return trail_pb.Trail(
        request_id="r1",
        router_region="eu-west",
        decision=trail_pb.Decision(strategy=trail_pb.STRATEGY_RULES, confidence=0.9, policy_version=3, cached=True),
        collections=[
            trail_pb.CollectionTrail(
                collection="files",
                space_id="minilm",
                confidence=0.9,
                served_region="us-east",
                attempts=[
                    trail_pb.RegionAttempt(
                        region="eu-west",
                        outcome=trail_pb.ATTEMPT_OUTCOME_FAILED,
                        error=reason_pb.ERROR_REASON_BACKEND_TIMEOUT,
                        elapsed=Duration(nanos=250_000_000),
                    ),
                    trail_pb.RegionAttempt(
                        region="us-east",
                        outcome=trail_pb.ATTEMPT_OUTCOME_SERVED,
                        breaker=trail_pb.BREAKER_STATE_HALF_OPEN,
                        pressure=0.0,
                        round_trip=Duration(nanos=80_000_000),
                        hedge=True,
                    ),
                ],
                hit_count=4,
            )
        ],
        stages=[trail_pb.Stage(name=trail_pb.STAGE_NAME_RERANK, budget=Duration(nanos=150_000_000), skipped=True)],
        degradations=[
            trail_pb.Degradation(reason=trail_pb.DEGRADATION_REASON_RERANK_SKIPPED_DEADLINE, subject="rerank")
        ],
        map=trail_pb.MapState(map_token=b"t", age=Duration(seconds=2)),
        cost=trail_pb.Cost(reserved_tokens=3, charged_tokens=2, charged_micros=1_500, price_version="2026-01"),
        deadline=Duration(seconds=1),
        level=quota_pb.SERVICE_LEVEL_REDUCED,
        limit_notes=[
            quota_pb.LimitNote(
                scope=quota_pb.LIMIT_SCOPE_TENANT,
                period=quota_pb.LIMIT_PERIOD_DAY,
                unit=quota_pb.LIMIT_UNIT_REQUESTS,
                used_part=0.85,
                reset_time=Timestamp(seconds=1_800_000_000),
            ),
            quota_pb.LimitNote(
                scope=quota_pb.LIMIT_SCOPE_KEY,
                period=quota_pb.LIMIT_PERIOD_RATE,
                unit=quota_pb.LIMIT_UNIT_TOKENS,
                used_part=1.2,
                shadow=True,
            ),
        ],
    )


def test_a_trail_is_read_in_full() -> None:
    """Names lose their prefix, durations become seconds, the message stays reachable."""
    message = _trail()

    trail = trail_from_proto(message)

    assert trail.decision is not None
    assert (trail.decision.strategy, trail.decision.cached) == ("RULES", True)
    first, second = trail.collections[0].attempts
    assert (first.outcome, first.error, first.elapsed_s) == ("FAILED", "BACKEND_TIMEOUT", 0.25)
    assert (second.outcome, second.error, second.elapsed_s) == ("SERVED", "", None)
    assert (first.breaker, first.pressure, first.round_trip_s, first.hedge) == ("", None, None, False)
    assert (second.breaker, second.pressure, second.round_trip_s, second.hedge) == ("HALF_OPEN", 0.0, 0.08, True)
    assert (trail.stages[0].name, trail.stages[0].budget_s, trail.stages[0].skipped) == ("RERANK", 0.15, True)
    assert str(trail.degradations[0]) == "RERANK_SKIPPED_DEADLINE (rerank)"
    assert (trail.map_token, trail.map_age_s) == (b"t", 2.0)
    assert (trail.reserved_tokens, trail.charged_tokens, trail.deadline_s) == (3, 2, 1.0)
    assert (trail.charged_micros, trail.price_version, trail.level) == (1_500, "2026-01", "REDUCED")
    day, trial = trail.limit_notes
    assert (day.scope, day.period, day.unit, day.used_part) == ("TENANT", "DAY", "REQUESTS", 0.85)
    assert (day.shadow, day.reset_s, trial.shadow, trial.reset_s) == (False, 1_800_000_000, True, None)
    assert str(day) == "requests of the tenant by day: 85% used"
    assert str(trial) == "tokens of the key by rate: 120% used (on trial)"
    assert trail.proto is message


def test_a_trail_without_a_level_is_of_quiet_times() -> None:
    """An older router says nothing of levels."""
    trail = trail_from_proto(trail_pb.Trail())

    assert (trail.level, trail.limit_notes, trail.charged_micros, trail.price_version) == ("NORMAL", (), 0, "")


def test_values_of_a_newer_server_stay_visible() -> None:
    """An enum value that this client does not know is shown by its number, not dropped and no error."""
    message = _trail()
    message.degradations[0].reason = 77  # type: ignore[assignment]  # wrong on purpose
    message.decision.strategy = 78  # type: ignore[assignment]  # wrong on purpose

    trail = trail_from_proto(message)

    assert trail.degradations[0].reason == "UNKNOWN_77"
    assert trail.decision is not None
    assert trail.decision.strategy == "UNKNOWN_78"


def test_hits_are_plain_and_frozen() -> None:
    """A hit gives its document's parts directly."""
    message = routing_pb.SearchResponse(
        hits=[
            routing_pb.SearchHit(
                document=document_pb.Document(
                    document_id="a#b-1", text="t", fields={"title": document_pb.FieldValue(string_value="T")}
                ),
                collection="files",
                score=0.5,
                score_kind=options_pb.SCORE_KIND_RERANK,
                region="eu-west",
            )
        ],
        trail=_trail(),
    )

    hit = search_result(message, RouterAddress("eu-west", "h:1"), ()).hits[0]

    assert (hit.document_id, hit.text, dict(hit.fields)) == ("a#b-1", "t", {"title": "T"})
    assert (hit.collection, hit.score, hit.score_kind, hit.region) == ("files", 0.5, "RERANK", "eu-west")
    with pytest.raises(AttributeError):
        hit.score = 1.0  # type: ignore[misc]  # frozen is the point
