"""Which documents may be found, as plain types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trunkline.common.v1 import document_pb2 as document_pb


@dataclass(frozen=True, slots=True)
class Equals:
    """The field is this value, to the letter."""

    field: str
    value: str | int | bool


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The field is one of 1 to 64 texts."""

    field: str
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class Between:
    """The field is a number within these inclusive bounds, of which one may be left open."""

    field: str
    gte: float | None = None
    lte: float | None = None


Condition = Equals | AnyOf | Between


@dataclass(frozen=True, slots=True)
class Filter:
    """All of `must` and none of `must_not` hold; at most 16 of each. The tenant's boundary is the server's to add."""

    must: Sequence[Condition] = ()
    must_not: Sequence[Condition] = ()


def filter_to_proto(wanted: Filter) -> document_pb.Filter:
    """Return the message of a filter. Raises ValueError or TypeError for what no message can hold."""
    return document_pb.Filter(
        must=[_condition(item) for item in wanted.must], must_not=[_condition(item) for item in wanted.must_not]
    )


def _condition(item: Condition) -> document_pb.Condition:
    match item:
        case Equals(name, bool(value)):
            return document_pb.Condition(field=name, equals_bool=value)
        case Equals(name, int(value)):
            return document_pb.Condition(field=name, equals_int=value)
        case Equals(name, str(value)):
            return document_pb.Condition(field=name, equals_string=value)
        case AnyOf(name, values):
            return document_pb.Condition(field=name, any_of=document_pb.StringList(values=values))
        case Between(name, gte, lte):
            return document_pb.Condition(field=name, range=document_pb.NumberRange(gte=gte, lte=lte))
        case _:
            raise TypeError(f"not a condition: {type(item).__name__}")
