"""Writes a policy as YAML that a person likes to read and edit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from trunkline_policy.model import Keyword, Pattern, RoutingPolicy

_WIDTH: Final = 120
_SHORT_FORMS: Final[Mapping[str, tuple[str, float]]] = {
    "keywords": ("text", Keyword.model_fields["weight"].default),
    "patterns": ("regex", Pattern.model_fields["weight"].default),
}


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # the C one, if it was built
    """SafeDumper that never writes aliases, and texts of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal values twice: policies with aliases are refused."""
        return True

    def text(self, value: str) -> yaml.nodes.ScalarNode:
        """Return a text's node, in literal style if it has several lines."""
        node: yaml.nodes.ScalarNode = self.represent_scalar(
            "tag:yaml.org,2002:str", value, style="|" if "\n" in value else None
        )
        return node


_Dumper.add_representer(str, _Dumper.text)


def plain_values(policy: RoutingPolicy) -> dict[str, Any]:
    """Return what differs from the defaults, in the format's order; keywords and patterns in their short forms."""
    values: dict[str, Any] = _shortened(policy.model_dump(mode="json", exclude_defaults=True))
    return values


def dump_yaml(values: Mapping[str, Any]) -> str:
    """Return plain values as YAML in blocks."""
    text: str = yaml.dump(
        values, Dumper=_Dumper, default_flow_style=False, sort_keys=False, allow_unicode=True, width=_WIDTH
    )
    return text


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: [_short_form(one, *_SHORT_FORMS[key]) for one in item]
            if key in _SHORT_FORMS and isinstance(item, list)
            else _shortened(item)
            for key, item in value.items()
        }
    return [_shortened(one) for one in value] if isinstance(value, list) else value


def _short_form(value: Any, key: str, default_weight: float) -> Any:
    """Return the text alone where the weight is the default one; a condition's words are texts already."""
    if isinstance(value, dict) and value.get("weight", default_weight) == default_weight:
        return value[key]
    return value
