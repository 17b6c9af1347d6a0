"""Every field of a policy by the path that the guide names it with, and its default as the guide shows it."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from tests.unit.docs.reading import shown_default

from trunkline_policy.model import Keyword, Pattern, RoutingPolicy, Target

TARGET: Final = "TARGET"
"""Stands for each collection, template and model class, whose common fields are listed once."""


def policy_fields() -> dict[str, str]:
    """Return the defaults of all fields by path, such as `rules[].when.roles` or `TARGET.keywords`."""
    return {**dict(_fields(RoutingPolicy, "")), **dict(_fields(Target, f"{TARGET}."))}


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        if prefix != f"{TARGET}." and issubclass(model, Target) and name in Target.model_fields:
            continue
        found = None if prefix.startswith("experiments[].variant.") else _nested(field.annotation)
        if found is None or found[0] in (Keyword, Pattern):
            yield f"{prefix}{name}", _default(name, field)
        else:
            yield from _fields(found[0], f"{prefix}{name}{found[1]}.")


def _nested(annotation: Any) -> tuple[type[BaseModel], str] | None:
    """Return the model in an annotation, and what its path has after the field's name."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return next(filter(None, map(_nested, arguments)), None)
    if origin is Mapping and (found := _nested(arguments[1])):
        return found[0], ".NAME"
    if origin is tuple and (found := _nested(arguments[0])):
        return found[0], "[]"
    return None


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None or field.default == ():
        return "(none)"
    return shown_default(name, field).replace("`", "")
