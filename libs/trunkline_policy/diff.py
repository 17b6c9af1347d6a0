"""What differs between two policies: in meaning, not in text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from trunkline_policy.model import RoutingPolicy

MAX_VALUE_CHARS: Final = 200
"""Characters of a value that are told."""
_NAMED: Final = frozenset({"rules", "experiments"})
"""Lists whose members have a name: they are compared member by member."""

_OWN_NAMES: Final = frozenset({"name", "text"})
"""What a path tells already, or what is too long for a line."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference."""

    where: str
    """Path within the policy, such as `collections.billing.keywords`."""
    before: str | None
    """None: it was not there."""
    after: str | None
    """None: it is there no more."""


def diff_policies(old: RoutingPolicy | None, new: RoutingPolicy) -> list[Change]:
    """Return what differs, in the format's order. Lists of texts as members added and removed; defaults written out.

    Order is no difference, as it never matters to a decision.
    Without an old policy everything that differs from the defaults is new.
    """
    after = new.model_dump(mode="json")
    if old is not None:
        return list(_of_mappings("", old.model_dump(mode="json"), after))
    nothing = RoutingPolicy.model_construct(version=new.version, collections={}).model_dump(mode="json")
    return list(_of_mappings("", nothing, after))


def _of_mappings(where: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for key in dict.fromkeys((*old, *new)):
        path = f"{where}.{key}" if where else key
        if key not in old:
            yield Change(path, None, _summary(new[key]))
        elif key not in new:
            yield Change(path, _summary(old[key]), None)
        elif old[key] != new[key]:
            yield from _of_values(path, key, old[key], new[key])


def _of_values(where: str, key: str, old: Any, new: Any) -> Iterator[Change]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _of_mappings(where, old, new)
    elif not (isinstance(old, list) and isinstance(new, list)):
        yield Change(where, _told(old), _told(new))
    elif key in _NAMED:
        yield from _of_named(where, old, new)
    else:
        yield from _of_members(where, old, new)


def _of_named(where: str, old: list[Any], new: list[Any]) -> Iterator[Change]:
    before, after = ({one["name"]: one for one in members} for members in (old, new))
    yield from _of_mappings(where, before, after)


def _of_members(where: str, old: list[Any], new: list[Any]) -> Iterator[Change]:
    """Tell members that were added or removed; one whose weight or label changed as one change."""
    before, after = (dict(_member(one) for one in members) for members in (old, new))
    for text in dict.fromkeys((*before, *after)):
        if before.get(text) != after.get(text):
            yield Change(where, before.get(text), after.get(text))


def _member(one: Any) -> tuple[str, str]:
    """Return what makes a member of a list the same one, and how it is told."""
    if isinstance(one, str):
        return one, _cut(one)
    key, *others = one
    rest = ", ".join(f"{name} {_told(one[name])}" for name in others if one[name] is not None)
    return one[key], _cut(f"{one[key]} ({rest})")


def _summary(value: Any) -> str:
    """Say in a line what a whole part has: counts of its lists, its short values."""
    if not isinstance(value, dict):
        return _told(value)
    parts = []
    for key, item in value.items():
        if isinstance(item, list):
            parts += [f"{len(item)} {key}"] if item else []
        elif item not in (None, "", {}) and key not in _OWN_NAMES:
            parts.append(f"{key} {_told(item)}")
    return _cut(", ".join(parts)) or "empty"


def _told(value: Any) -> str:
    if value is None:
        return "none"
    return _cut(value if isinstance(value, str) else json.dumps(_without_empty(value), ensure_ascii=False))


def _without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _without_empty(item) for key, item in value.items() if item not in (None, "", {}, [])}


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE_CHARS else text[: MAX_VALUE_CHARS - 1] + "…"
