"""Filters in the engine's terms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from qdrant_edge import (
    FieldCondition,
    Filter,
    HasIdCondition,
    HasVectorCondition,
    IsEmptyCondition,
    IsNullCondition,
    MatchAny,
    MatchValue,
    NestedCondition,
    RangeFloat,
)

from trunkline_retrieval.engine.points import FIELDS, FLAGS, SCOPE, flag
from trunkline_retrieval.engine.requests import ConditionKind, WireCondition, WireFilter

# As the stub of Filter spells it; a list of a narrower type would not be taken.
_Condition: TypeAlias = (
    FieldCondition | IsEmptyCondition | IsNullCondition | HasIdCondition | HasVectorCondition | NestedCondition | Filter
)


def scope_filter(scope_key: str) -> Filter:
    """Return the filter that holds one scope and nothing else."""
    return Filter(must=[_scope("", scope_key)])


def to_filter(wire: WireFilter) -> Filter:
    """Return the engine's filter of a scoped filter, whose boundary stands among `must`."""
    return Filter(must=_conditions(wire.must), must_not=_conditions(wire.must_not) or None)


def _conditions(tests: Iterable[WireCondition]) -> list[_Condition]:
    return [_BUILDERS[kind](name, argument) for kind, name, argument in tests]


def _scope(_name: str, scope_key: str) -> FieldCondition:
    return FieldCondition(key=SCOPE, match=MatchValue(scope_key))


def _equals(name: str, value: str | int) -> FieldCondition:
    return FieldCondition(key=f"{FIELDS}.{name}", match=MatchValue(value))


def _is_bool(name: str, value: bool) -> FieldCondition:
    return FieldCondition(key=FLAGS, match=MatchValue(flag(name, value)))


def _any_of(name: str, values: list[str]) -> FieldCondition:
    return FieldCondition(key=f"{FIELDS}.{name}", match=MatchAny(list(values)))


def _range(name: str, bounds: tuple[float | None, float | None]) -> FieldCondition:
    return FieldCondition(key=f"{FIELDS}.{name}", range=RangeFloat(gte=bounds[0], lte=bounds[1]))


_BUILDERS: Final[Mapping[int, Callable[[str, Any], FieldCondition]]] = {
    ConditionKind.SCOPE: _scope,
    ConditionKind.EQUALS: _equals,
    ConditionKind.IS_BOOL: _is_bool,
    ConditionKind.ANY_OF: _any_of,
    ConditionKind.RANGE: _range,
}
