"""What calls give back, as plain types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_client.context import Answer
from trunkline_client.documents import Document, FieldValue, document_from_proto
from trunkline_client.errors import Attempt
from trunkline_client.generation import Generation, generation_from_proto
from trunkline_client.router import RouterAddress
from trunkline_client.trail import Trail, enum_name, seconds, trail_from_proto


@dataclass(frozen=True, slots=True)
class Hit:
    """One result. Scores are comparable only where their kind (COSINE, BM25, RRF, RERANK) and space are the same."""

    document: Document
    collection: str
    score: float
    score_kind: str
    region: str

    @property
    def document_id(self) -> str:
        """Id of the document in its collection."""
        return self.document.document_id

    @property
    def text(self) -> str:
        """The document's text."""
        return self.document.text

    @property
    def fields(self) -> Mapping[str, FieldValue]:
        """The document's fields that were asked for."""
        return self.document.fields


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first, and what happened; `router` answered, after the `attempts` listed.

    `generation`: what the policy picks for generating an answer; None where it has neither templates nor model classes.
    """

    hits: tuple[Hit, ...]
    trail: Trail
    router: RouterAddress
    attempts: tuple[Attempt, ...]
    generation: Generation | None = None

    @property
    def decision_id(self) -> str:
        """Id of the decision, for feedback and the next query of a session; empty where no policy decided."""
        return _decision_id(self.trail)


@dataclass(frozen=True, slots=True)
class RouteResult:
    """Where a search would go; nothing was executed. `generation`: as a search's."""

    trail: Trail
    router: RouterAddress
    attempts: tuple[Attempt, ...]
    generation: Generation | None = None

    @property
    def decision_id(self) -> str:
        """Id of the decision, as a search's."""
        return _decision_id(self.trail)


@dataclass(frozen=True, slots=True)
class FeedbackResult:
    """What became of feedback. `kept`: False if the policy does not learn, so that it was only counted.

    `replaced`: it takes the place of what the same caller said of the same decision before, as far as the router that
    answered knows.
    """

    kept: bool
    replaced: bool


@dataclass(frozen=True, slots=True)
class RegionWrite:
    """One region's part of a write."""

    region: str
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class WriteResult:
    """A write that every region of the write set has acknowledged."""

    regions: tuple[RegionWrite, ...]
    trail: Trail
    router: RouterAddress
    attempts: tuple[Attempt, ...]


def search_result(
    message: routing_pb.SearchResponse, router: RouterAddress, attempts: tuple[Attempt, ...]
) -> SearchResult:
    """Return the plain form of one search's response."""
    hits = tuple(_hit(hit) for hit in message.hits)
    return SearchResult(hits, trail_from_proto(message.trail), router, attempts, _generation(message))


def route_result(answer: Answer[routing_pb.RouteResponse]) -> RouteResult:
    """Return the plain form of a decision."""
    response = answer.response
    return RouteResult(trail_from_proto(response.trail), answer.router, answer.attempts, _generation(response))


def write_result(answer: Answer[routing_pb.UpsertResponse] | Answer[routing_pb.DeleteResponse]) -> WriteResult:
    """Return the plain form of a write's response."""
    regions = tuple(RegionWrite(item.region, seconds(item.elapsed)) for item in answer.response.regions)
    return WriteResult(regions, trail_from_proto(answer.response.trail), answer.router, answer.attempts)


def _generation(message: routing_pb.SearchResponse | routing_pb.RouteResponse) -> Generation | None:
    return generation_from_proto(message.generation) if message.HasField("generation") else None


def _decision_id(trail: Trail) -> str:
    return "" if trail.decision is None else trail.decision.decision_id


def _hit(message: routing_pb.SearchHit) -> Hit:
    return Hit(
        document_from_proto(message.document),
        message.collection,
        message.score,
        enum_name(options_pb.ScoreKind.DESCRIPTOR, message.score_kind, "SCORE_KIND_"),
        message.region,
    )
