"""Filters of the contract to the service's own."""

from __future__ import annotations

from collections.abc import Iterable

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline_retrieval import bounds
from trunkline_retrieval.bounds import Violations
from trunkline_retrieval.model import AnyOf, Condition, Equals, Filter, Range


def parse_filter(message: document_pb.Filter, violations: Violations) -> Filter:
    """Return the filter; what breaks its bounds is noted in `violations` and then worth nothing."""
    return Filter(
        tuple(_conditions(message.must, "filter.must", violations)),
        tuple(_conditions(message.must_not, "filter.must_not", violations)),
    )


def _conditions(messages: Iterable[document_pb.Condition], path: str, violations: Violations) -> list[Condition]:
    listed = list(messages)
    violations.require_count(len(listed), 0, bounds.MAX_CONDITIONS, path)
    parsed = (
        _condition(message, f"{path}[{index}]", violations)
        for index, message in enumerate(listed[: bounds.MAX_CONDITIONS])
    )
    return [condition for condition in parsed if condition is not None]


def _condition(message: document_pb.Condition, path: str, violations: Violations) -> Condition | None:
    violations.require_field_name(message.field, f"{path}.field")
    match message.WhichOneof("test"):
        case "equals_string":
            violations.require_bytes(message.equals_string, 0, bounds.MAX_FIELD_BYTES, f"{path}.equals_string")
            return Equals(message.field, message.equals_string)
        case "equals_int":
            return Equals(message.field, message.equals_int)
        case "equals_bool":
            return Equals(message.field, message.equals_bool)
        case "any_of":
            return _any_of(message, f"{path}.any_of.values", violations)
        case "range":
            return _range(message, f"{path}.range", violations)
        case _:
            violations.require(False, path, "exactly one test must be set")
            return None


def _any_of(message: document_pb.Condition, path: str, violations: Violations) -> Condition:
    values = tuple(message.any_of.values)
    violations.require_count(len(values), 1, bounds.MAX_ANY_OF, path)
    for index, value in enumerate(values[: bounds.MAX_ANY_OF]):
        violations.require_bytes(value, 0, bounds.MAX_ANY_OF_BYTES, f"{path}[{index}]")
    return AnyOf(message.field, values)


def _range(message: document_pb.Condition, path: str, violations: Violations) -> Condition:
    numbers = message.range
    gte = numbers.gte if numbers.HasField("gte") else None
    lte = numbers.lte if numbers.HasField("lte") else None
    violations.require(gte is not None or lte is not None, path, "at least one bound must be set")
    for name, number in (("gte", gte), ("lte", lte)):
        if number is not None:
            violations.require_finite(number, f"{path}.{name}")
    return Range(message.field, gte, lte)
