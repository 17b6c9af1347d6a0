"""A tenant's routing policy as text: YAML, checked strictly, into typed values, and back.

The format is described in docs/guide.md. Routers read its form instead, canonical JSON of what was checked once: what
takes a fifth of a second as YAML takes a hundredth as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

import yaml
from pydantic import ValidationError

from trunkline_mesh.errors import CollectionUnknown, FieldInvalid, FieldViolation, invalid_field
from trunkline_policy import limits
from trunkline_policy.document_checks import Violation, violations_of
from trunkline_policy.document_dump import dump_yaml, plain_values
from trunkline_policy.document_yaml import load_yaml
from trunkline_policy.model import RoutingPolicy
from trunkline_policy.upgrade import upgrade

MAX_VIOLATIONS: Final = 16
"""Violations told at once: more say the same, and an error has to fit into 6 KiB."""
MAX_FORM_BYTES: Final = 4 * limits.MAX_POLICY_BYTES
"""Bytes of a form; JSON escapes and braces make it longer than YAML, but never this long."""
_MAX_PART_CHARS: Final = 64
_FIELD: Final = "policy.yaml"


def parse_policy(text: str) -> RoutingPolicy:
    """Return the policy that a YAML text declares, of either version of the format.

    Raises FieldInvalid with at most 16 violations, whose fields are paths like `policy.yaml:collections.x.patterns.0`;
    they quote names, and never values. Takes up to a second for a text of 2 MiB, so not for an event loop.
    """
    if len(text.encode(errors="replace")) > limits.MAX_POLICY_BYTES:
        raise invalid_field(_FIELD, f"must be at most {limits.MAX_POLICY_BYTES} bytes")
    try:
        document = load_yaml(text)
    except (yaml.YAMLError, ValueError) as exc:  # ValueError: a date that is none, or half of a character
        mark = getattr(exc, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise invalid_field(
            _FIELD, f"is not YAML without aliases, tags, repeated keys and deep nesting{where}"
        ) from None  # the cause quotes the policy, and would stand in a log
    try:
        policy = RoutingPolicy.model_validate(_of_this_version(document), strict=True)
    except ValidationError as exc:
        raise _refusal(_told(exc)) from None  # as above
    violations = list(islice(violations_of(policy), MAX_VIOLATIONS))
    if violations:
        raise _refusal(violations)
    return policy


def check_policy(text: str, collections: Iterable[str]) -> None:
    """Raise FieldInvalid for a wrong policy, CollectionUnknown if it names a collection that the tenant lacks."""
    missing = sorted(parse_policy(text).names() - frozenset(collections))
    if missing:
        raise CollectionUnknown(metadata={"collections": ",".join(missing[:16])})


def to_form(policy: RoutingPolicy) -> bytes:
    """Return a policy as canonical JSON: equal policies give equal bytes.

    What has its default is left out, so that a router of an older version reads every form that uses nothing newer. A
    default is part of the format's version, and is never changed within it.
    """
    content = policy.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def from_form(content: bytes) -> RoutingPolicy:
    """Return the policy of a form; raise ValueError, which quotes nothing, if it is none.

    Types and every bound of a single field are checked again, since that costs nothing beside reading. What only
    concerns several fields together, and whether patterns compile, was checked when the policy was put: a digest
    says that these are the bytes. Whoever compiles the patterns bounds their memory again.
    """
    if len(content) > MAX_FORM_BYTES:
        raise ValueError(f"a policy's form has at most {MAX_FORM_BYTES} bytes")
    try:
        return RoutingPolicy.model_validate_json(content)
    except ValidationError as exc:
        first = next(_told(exc))
        raise ValueError(f"no form of a policy: {first.where} {first.what}") from None  # pydantic's own text quotes


def to_yaml(policy: RoutingPolicy) -> str:
    """Return a policy as readable YAML: what differs from the defaults, in the format's order, in blocks.

    `parse_policy` makes the same policy of it.
    """
    return dump_yaml(plain_values(policy))


def _of_this_version(document: Any) -> Any:
    version = document.get("version") if isinstance(document, Mapping) else None
    if type(version) is not int:  # True is 1, and a missing one is told by the model
        return document
    if version == 1:
        return upgrade(document)
    if version != 2:
        raise invalid_field(f"{_FIELD}:version", "must be 2, or 1, which is still read")
    return document


def _refusal(violations: Iterable[Violation]) -> FieldInvalid:
    return FieldInvalid(
        violations=[
            FieldViolation(f"{_FIELD}:{one.where}" if one.where else _FIELD, one.what)
            for one in islice(violations, MAX_VIOLATIONS)
        ]
    )


def _told(error: ValidationError) -> Iterator[Violation]:
    """Say in the format's words what pydantic found, once for each place."""
    seen: set[str] = set()
    for one in error.errors(include_input=False, include_url=False, include_context=False):
        where = ".".join(str(part)[:_MAX_PART_CHARS] for part in one["loc"] if not _made_up(part))
        if where not in seen:
            seen.add(where)
            yield Violation(where, _plain(where, one["msg"]))


def _made_up(part: str | int) -> bool:
    """Whether part of a place stands in no policy: pydantic's marks for keys and for the kinds of a union."""
    return isinstance(part, str) and (part == "[key]" or part.startswith(("literal[", "tuple[")))


def _plain(where: str, message: str) -> str:
    if where == "fallback" or where.endswith(".fallback"):
        return "must be all, refuse, none or a list of collections"
    for theirs, ours in (
        ("valid tuple", "list"),
        ("valid dictionary or instance of", "mapping, as of a"),
        ("valid dictionary", "mapping"),
        ("Dictionary", "Mapping"),
        ("Tuple", "List"),
    ):
        message = message.replace(theirs, ours)
    return message
