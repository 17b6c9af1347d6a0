"""Records of feedback for the tests of its store."""

from __future__ import annotations

from trunkline_routing.feedback.records import FeedbackRecord

NOW_S = 1_800_000_000.0


def said(
    *,
    decision: str = "d",
    caller: str = "ann",
    at_s: float = NOW_S,
    tenant_id: str = "acme",
    text: str = "where is it",
    right: tuple[str, ...] = ("files",),
    success: bool | None = False,
) -> FeedbackRecord:
    """Return what a caller said."""
    return FeedbackRecord(
        tenant_id=tenant_id,
        at_s=at_s,
        caller=caller,
        decision=decision,
        policy_version=1,
        policy_digest="ab" * 32,
        strategy="RULES",
        chosen=("notes",),
        text=text,
        right=right,
        success=success,
        assignments=(("trial", "variant", True),),
    )
