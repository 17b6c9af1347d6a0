"""What must hold in the trail of every search."""

from __future__ import annotations

from tests.e2e.place import LONG_S

from trunkline_client import SearchResult, Trail

GRPC_ROUNDING = 1.03
"""gRPC may tell the server up to 3 % more than the caller gave."""
SEARCH_TOKENS, EMBEDDING_TOKENS, RERANK_TOKENS = 1, 1, 3


def check_account(trail: Trail, *, router: str, deadline_s: float = LONG_S) -> None:
    """Check what must hold in the trail of every search that was answered in full."""
    assert trail.router_region == router
    assert 0.0 < trail.deadline_s <= deadline_s * GRPC_ROUNDING
    assert trail.map_token
    assert 0.0 <= trail.map_age_s < 60.0
    assert not trail.truncated
    for item in trail.collections:
        served = [attempt for attempt in item.attempts if attempt.outcome == "SERVED"]
        assert [attempt.region for attempt in served] == [item.served_region]
        assert {attempt.outcome for attempt in item.attempts} <= {"SERVED", "NOT_NEEDED", "FAILED"}
        assert 0.0 < item.confidence <= 1.0
    check_stages(trail)


def check_stages(trail: Trail) -> None:
    """The stages stand once each, in order, none over the deadline; the bill is what they cost."""
    names = [stage.name for stage in trail.stages]
    order = ["ADMISSION", "DECISION", "EMBEDDING", "RETRIEVAL", "MERGE", "RERANK"]
    inside = [name for name in order if name in names]
    # Where semantics decide, the embedding begins inside the decision.
    assert sorted(names) == sorted(inside)
    assert [name for name in names if name != "EMBEDDING"] == [name for name in inside if name != "EMBEDDING"]
    assert all(0.0 <= stage.elapsed_s <= trail.deadline_s for stage in trail.stages)
    done = {stage.name for stage in trail.stages if not stage.skipped}
    charged = SEARCH_TOKENS + EMBEDDING_TOKENS * ("EMBEDDING" in done) + RERANK_TOKENS * ("RERANK" in done)
    assert trail.charged_tokens == charged <= trail.reserved_tokens


def ids(result: SearchResult) -> list[str]:
    """Return the documents found, best first."""
    return [hit.document_id for hit in result.hits]
