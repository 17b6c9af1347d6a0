"""Reads version 1 of the policy's format and says the same in version 2.

| version 1 | version 2 |
|---|---|
| `strategy: rules-then-semantics`, `rules`, `semantics` | `hybrid`, `logical`, `semantic` |
| `threshold`, a cosine, 0.30 by default | `thresholds.similarity` |
| `margin`, of cosines | dropped: `thresholds.margin` is of confidences, and its default is taken |
| `max_collections`, 3 by default | the same number |
| no `fallback`, or an empty one | `fallback: none`, as such queries belonged nowhere |
| keywords as they are written | `language: none` |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from trunkline_policy.model import Example, Name, Part

_STRATEGIES: Final[Mapping[str, str]] = {
    "rules-then-semantics": "hybrid",
    "rules": "logical",
    "semantics": "semantic",
}


class _Collection(Part):
    description: str = Field("", max_length=1024)
    keywords: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field((), max_length=128)
    patterns: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = Field((), max_length=32)
    examples: tuple[Example, ...] = Field((), max_length=128)


class _PolicyV1(Part):
    version: Literal[1]
    strategy: Literal["rules-then-semantics", "rules", "semantics"] = "rules-then-semantics"
    space: Name | None = None
    threshold: float = Field(0.30, ge=0, le=1)
    margin: float = Field(0.06, ge=0, le=1)
    max_collections: int = Field(3, ge=1, le=16)
    fallback: tuple[Name, ...] = Field((), max_length=16)
    collections: Mapping[Name, _Collection] = Field(min_length=1, max_length=256)


def upgrade(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document of version 1, lists as tuples, as one of version 2.

    Raises pydantic's ValidationError, whose places are those of version 1, for what version 1 did not allow.
    """
    old = _PolicyV1.model_validate(document, strict=True)
    return {
        "version": 2,
        "strategy": _STRATEGIES[old.strategy],
        "language": "none",
        "space": old.space,
        "max_collections": old.max_collections,
        "thresholds": {"similarity": old.threshold},
        "fallback": old.fallback or "none",
        "collections": {name: one.model_dump(exclude_defaults=True) for name, one in old.collections.items()},
    }
