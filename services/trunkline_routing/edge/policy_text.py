"""A tenant's routing policy: YAML, checked strictly, into typed values.

The format is described in docs/guide.md. Aliases are refused, because a few lines of them expand without bound; so are
deep nesting and keys that stand twice. Patterns are RE2, whose time is linear in the text, because tenants write them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Annotated, Any, Final, Literal

import re2
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from trunkline_mesh.errors import CollectionUnknown, FieldInvalid, FieldViolation, invalid_field

MAX_POLICY_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 16
"""Levels of nesting in the YAML; the format needs 5, and the C parser recurses."""
MAX_EXAMPLES: Final = 512
"""Example queries of one policy, over all collections: each is embedded once for each version."""
MAX_PATTERNS: Final = 256
"""Patterns of one policy, over all collections: each is tried on every query, which takes about 2 microseconds for a
question and 65 for the longest text."""
PATTERN_MEMORY_BYTES: Final = 256 * 1024
"""Memory that RE2 may use for one pattern; without it 256 characters can ask for megabytes."""

Keyword = Annotated[str, Field(min_length=1, max_length=64)]
Pattern = Annotated[str, Field(min_length=1, max_length=256)]
Example = Annotated[str, Field(min_length=1, max_length=512)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$")]


def compile_pattern(pattern: str) -> Any:
    """Return the pattern compiled, case not mattering. Raises re2.error; RE2 logs nothing of what the tenant wrote."""
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    options.max_mem = PATTERN_MEMORY_BYTES
    return re2.compile(pattern, options)


class CollectionPolicy(BaseModel):
    """What sends a query to one collection."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str = Field("", max_length=1024)
    keywords: tuple[Keyword, ...] = Field((), max_length=128)
    """Words and phrases; whole words, case does not matter."""
    patterns: tuple[Pattern, ...] = Field((), max_length=32)
    """Regular expressions in RE2 syntax; case does not matter."""
    examples: tuple[Example, ...] = Field((), max_length=128)
    """Queries that belong here."""

    @field_validator("patterns")
    @classmethod
    def _compiles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                compile_pattern(pattern)
            except re2.error as exc:
                raise ValueError("is no RE2 regular expression, or too large a one") from exc
        return patterns


class RoutingPolicy(BaseModel):
    """How a tenant's queries find their collections."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1]
    """Version of the format."""
    strategy: Literal["rules-then-semantics", "rules", "semantics"] = "rules-then-semantics"
    space: Name | None = None
    """Routing space; the space of the first collection by name if not given."""
    threshold: float = Field(0.30, ge=0, le=1)
    """Similarity below which semantics decide nothing."""
    margin: float = Field(0.06, ge=0, le=1)
    """Collections this near to the best one are searched too."""
    max_collections: int = Field(3, ge=1, le=16)
    fallback: tuple[Name, ...] = Field((), max_length=16)
    """Collections for queries that nothing decides; without any, such a query belongs nowhere."""
    collections: Mapping[Name, CollectionPolicy] = Field(min_length=1, max_length=256)

    def names(self) -> frozenset[str]:
        """Return every collection that the policy names."""
        return frozenset((*self.collections, *self.fallback))


class _StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C one, if it was built
    """SafeLoader that refuses keys that stand twice. The C one is ten times quicker: a policy may have 256 KiB."""

    def construct_mapping(self, node: yaml.nodes.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        if len(mapping) != len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key stands twice", node.start_mark)
        return mapping


def _load(text: str) -> Any:
    """Return what a YAML text says, after a look at its events, which costs no memory and does not recurse."""
    depth = 0
    for event in yaml.parse(text, Loader=_StrictLoader):
        mark: Any = event.start_mark  # the C parser has a type of its own for it
        if isinstance(event, yaml.events.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=mark)
        if isinstance(event, yaml.events.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.events.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="too deeply nested", problem_mark=mark)
    return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader with fewer features


def parse_policy(text: str) -> RoutingPolicy:
    """Return the policy that a YAML text declares; raise FieldInvalid that says where it is wrong."""
    if len(text.encode()) > MAX_POLICY_BYTES:
        raise invalid_field("policy.yaml", f"must be at most {MAX_POLICY_BYTES} bytes")
    try:
        document = _load(text)
    except (yaml.YAMLError, ValueError) as exc:  # ValueError: a scalar that looks like a date and is none
        mark = getattr(exc, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise invalid_field(
            "policy.yaml", f"is not YAML without aliases, repeated keys and deep nesting{where}"
        ) from exc
    try:
        policy = RoutingPolicy.model_validate(document)
    except ValidationError as exc:
        raise FieldInvalid(
            violations=[
                FieldViolation("policy.yaml:" + ".".join(str(part) for part in error["loc"]), error["msg"])
                for error in exc.errors(include_input=False, include_url=False)[:16]
            ]
        ) from exc
    if sum(len(one.examples) for one in policy.collections.values()) > MAX_EXAMPLES:
        raise invalid_field("policy.yaml", f"must have at most {MAX_EXAMPLES} examples over all collections")
    if sum(len(one.patterns) for one in policy.collections.values()) > MAX_PATTERNS:
        raise invalid_field("policy.yaml", f"must have at most {MAX_PATTERNS} patterns over all collections")
    return policy


def check_policy(text: str, collections: Iterable[str]) -> None:
    """Raise FieldInvalid for a wrong policy, CollectionUnknown if it names a collection that the tenant lacks."""
    missing = sorted(parse_policy(text).names() - frozenset(collections))
    if missing:
        raise CollectionUnknown(metadata={"collections": ",".join(missing[:16])})
