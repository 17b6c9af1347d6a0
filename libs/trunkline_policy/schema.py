"""The policy format as a JSON schema, for editors. It knows each field; `document` and `lint` know more."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

from trunkline_policy.model import RoutingPolicy
from trunkline_policy.schema_texts import text_of

SCHEMA_ID: Final = "https://trunkline.dev/schemas/routing-policy-2.json"
"""Name of the schema; nothing has to be there."""
_SHORT_FORMS: Final = {"Keyword": "text", "Pattern": "regex"}


def policy_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of version 2, short forms included, with a description of every field."""
    schema: dict[str, Any] = _closed(RoutingPolicy.model_json_schema())
    definitions = schema.pop("$defs")
    _describe("RoutingPolicy", schema)
    for name, definition in definitions.items():
        _describe(name, definition)
    for name, field in _SHORT_FORMS.items():
        definitions[name] = _with_short_form(definitions[name], field)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        **schema,
        "title": "Trunkline routing policy",
        "$defs": definitions,
    }


def _closed(value: Any) -> Any:
    """Return a schema in which names that break the pattern are wrong, and lists of fallbacks are not empty."""
    if isinstance(value, list):
        return [_closed(one) for one in value]
    if not isinstance(value, dict):
        return value
    closed = {key: _closed(item) for key, item in value.items()}
    if "patternProperties" in closed:
        closed["additionalProperties"] = False
    if "fallback" in closed and "anyOf" in closed["fallback"]:
        for kind in closed["fallback"]["anyOf"]:
            if kind.get("type") == "array":
                kind["minItems"] = 1
    return closed


def _describe(owner: str, definition: dict[str, Any]) -> None:
    for name, field in definition["properties"].items():
        field["description"] = text_of(owner, name)


def _with_short_form(definition: dict[str, Any], field: str) -> dict[str, Any]:
    plain = deepcopy(definition["properties"][field])
    return {
        "title": definition["title"],
        "description": definition["description"],
        "anyOf": [plain, {key: one for key, one in definition.items() if key not in {"title", "description"}}],
    }
