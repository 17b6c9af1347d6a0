"""Messages of `trunkline.rerank.v1` to the use case and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.rerank.v1 import rerank_service_pb2 as rerank_pb
from trunkline.rerank.v1 import rerank_service_pb2_grpc as rerank_grpc
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import FieldInvalid, FieldViolation
from trunkline_mesh.request import current_request
from trunkline_rerank.rerank_candidates import Candidate, Ranking, RerankCandidates

DEFAULT_TOP_N: Final = 5
MAX_TOP_N: Final = 100
MAX_CANDIDATES: Final = 100
MAX_QUERY_BYTES: Final = 4_096
MAX_TEXT_BYTES: Final = 32_768
MAX_ID_BYTES: Final = 256
MAX_NAME_BYTES: Final = 128
MAX_BUDGET_S: Final = 3_600


class RerankServicer(rerank_grpc.RerankServiceServicer):
    """Parse, call the use case, render."""

    def __init__(self, rerank: RerankCandidates, *, default_model_id: str) -> None:
        """Serve the use case."""
        self._rerank = rerank
        self._default_model_id = default_model_id

    async def Rerank(self, request: rerank_pb.RerankRequest, context: Any) -> rerank_pb.RerankResponse:
        """Reorder candidates."""
        check(request)
        ranking = await self._rerank(
            request.query,
            [Candidate(candidate.candidate_id, candidate.text) for candidate in request.candidates],
            top_n=request.top_n or DEFAULT_TOP_N,
            model_id=request.model_id or self._default_model_id,
            deadline=_deadline(request),
        )
        return render(ranking)


def check(request: rerank_pb.RerankRequest) -> None:
    """Check a request against the contract's bounds; raise FieldInvalid with every violation."""
    violations = [
        *_bytes("query", request.query, 1, MAX_QUERY_BYTES),
        *_candidates(request.candidates),
        *_bytes("model_id", request.model_id, 0, MAX_NAME_BYTES),
    ]
    if not 0 <= request.top_n <= MAX_TOP_N:
        violations.append(FieldViolation("top_n", f"must be 0 to {MAX_TOP_N}"))
    if request.HasField("time_budget") and not _positive(request):
        violations.append(FieldViolation("time_budget", f"must be above 0 and at most {MAX_BUDGET_S} s"))
    if violations:
        raise FieldInvalid(violations=violations)


def render(ranking: Ranking) -> rerank_pb.RerankResponse:
    """Render the new order; what was not scored shows in the degradations."""
    response = rerank_pb.RerankResponse(
        results=[
            rerank_pb.RankedCandidate(candidate_id=one.candidate_id, score=one.score, scored=one.scored)
            for one in ranking.results
        ],
        scored_count=ranking.scored_count,
        model=ranking.model,
    )
    if ranking.partial:
        response.degradations.add(reason=trail_pb.DEGRADATION_REASON_RERANK_PARTIAL)
    return response


def _deadline(request: rerank_pb.RerankRequest) -> Deadline:
    deadline = current_request().deadline
    if not request.HasField("time_budget"):
        return deadline
    return deadline.within(_budget_s(request))


def _budget_s(request: rerank_pb.RerankRequest) -> float:
    return request.time_budget.seconds + request.time_budget.nanos / 1e9


def _positive(request: rerank_pb.RerankRequest) -> bool:
    return 0 < _budget_s(request) <= MAX_BUDGET_S and 0 <= request.time_budget.nanos < 1_000_000_000


def _candidates(candidates: Sequence[rerank_pb.Candidate]) -> Sequence[FieldViolation]:
    if not 1 <= len(candidates) <= MAX_CANDIDATES:
        return (FieldViolation("candidates", f"must be 1 to {MAX_CANDIDATES}"),)
    violations: list[FieldViolation] = []
    seen: set[str] = set()
    for index, candidate in enumerate(candidates):
        path = f"candidates[{index}]"
        violations += _bytes(f"{path}.candidate_id", candidate.candidate_id, 1, MAX_ID_BYTES)
        violations += _bytes(f"{path}.text", candidate.text, 1, MAX_TEXT_BYTES)
        if candidate.candidate_id in seen:
            violations.append(FieldViolation(f"{path}.candidate_id", "must be unique in the request"))
        seen.add(candidate.candidate_id)
    return violations


def _bytes(field: str, value: str, least: int, most: int) -> Sequence[FieldViolation]:
    # A character has at most 4 bytes: most texts need no encoding to be measured.
    if len(value) < least or (len(value) * 4 > most and len(value.encode()) > most):
        return (FieldViolation(field, f"must be {least} to {most} bytes"),)
    return ()
