"""What is kept of feedback and of shadowed decisions, and the line of JSON that each becomes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

from trunkline_mesh.errors import Internal

MAX_LINE_BYTES: Final = 32_768
"""Longest line: a text of 4,096 bytes takes up to six times as much in JSON, and 64 names some 4 KiB."""


@dataclass(frozen=True, slots=True)
class FeedbackRecord:
    """What one caller says of one decision."""

    tenant_id: str
    at_s: float
    """Unix time at which it was said."""
    caller: str
    """Salted hash of who says it; the same for the same caller of the same tenant."""
    decision: str
    """Names the decision: its nonce in hexadecimal."""
    policy_version: int
    policy_digest: str
    """The policy that decided."""
    strategy: str
    """What decided: a name of `common.v1.Strategy` without its prefix, such as `RULES`."""
    chosen: tuple[str, ...]
    """Collections of the decision, surest first."""
    text: str
    """The query; empty where the caller did not send it again."""
    right: tuple[str, ...]
    """Where the query belongs; empty where the caller did not say."""
    success: bool | None
    """Whether the decision was right; None where the feedback does not tell."""
    assignments: tuple[tuple[str, str, bool], ...] = ()
    """Comparisons that it took part in: experiment, arm (`control` or `variant`), whether it was a shadow."""


@dataclass(frozen=True, slots=True)
class ShadowRecord:
    """One decision that a variant made beside the live policy."""

    tenant_id: str
    at_s: float
    experiment: str
    agrees: bool
    """True if both chose the same collections."""


Record: TypeAlias = FeedbackRecord | ShadowRecord


def to_line(record: Record) -> bytes:
    """Return the record as one line of JSON, its line end included; raise Internal if it is too long to be kept."""
    kind = "feedback" if isinstance(record, FeedbackRecord) else "shadow"
    line = json.dumps({"kind": kind, **asdict(record)}, separators=(",", ":")).encode() + b"\n"
    if len(line) > MAX_LINE_BYTES:
        raise Internal("feedback is too long to be kept")
    return line


def from_line(line: bytes) -> Record | None:
    """Return the record of a line; None for one that is torn, damaged or of a kind that this version does not know."""
    try:
        values: dict[str, Any] = json.loads(line)
        kind = values.pop("kind")
        if kind == "shadow":
            return ShadowRecord(
                str(values["tenant_id"]), float(values["at_s"]), str(values["experiment"]), values["agrees"] is True
            )
        return _feedback(values) if kind == "feedback" else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _feedback(values: dict[str, Any]) -> FeedbackRecord:
    success = values["success"]
    return FeedbackRecord(
        tenant_id=str(values["tenant_id"]),
        at_s=float(values["at_s"]),
        caller=str(values["caller"]),
        decision=str(values["decision"]),
        policy_version=int(values["policy_version"]),
        policy_digest=str(values["policy_digest"]),
        strategy=str(values["strategy"]),
        chosen=tuple(map(str, values["chosen"])),
        text=str(values["text"]),
        right=tuple(map(str, values["right"])),
        success=None if success is None else success is True,
        assignments=tuple((str(name), str(arm), shadow is True) for name, arm, shadow in values["assignments"]),
    )
