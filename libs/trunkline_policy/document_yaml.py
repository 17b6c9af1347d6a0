"""Reads YAML strictly: no aliases, no tags, no repeated keys, bounded depth."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from trunkline_policy import limits


class StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C one, if it was built
    """SafeLoader that refuses keys that stand twice and makes tuples of lists. The C one is ten times quicker."""

    def construct_mapping(self, node: yaml.nodes.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping; raise ConstructorError if a key stands twice."""
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        if len(mapping) != len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key stands twice", node.start_mark)
        return mapping

    def construct_tuple(self, node: yaml.nodes.SequenceNode) -> tuple[Any, ...]:
        """Return a list as the policy's values have it, so that they can be checked without leniency."""
        return tuple(self.construct_sequence(node, deep=True))


StrictLoader.add_constructor("tag:yaml.org,2002:seq", StrictLoader.construct_tuple)


def load_yaml(text: str) -> Any:
    """Return what a YAML text says, lists as tuples. Raises yaml.YAMLError, or ValueError for a date that is none."""
    _check_events(text)
    return yaml.load(text, Loader=StrictLoader)  # noqa: S506 - a SafeLoader with fewer features


def _check_events(text: str) -> None:
    """Look at the events first, which costs no memory and does not recurse: a few aliases expand without bound."""
    depth = 0
    for event in yaml.parse(text, Loader=StrictLoader):
        mark: Any = event.start_mark  # the C parser has a type of its own for it
        if isinstance(event, yaml.events.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=mark)
        if isinstance(event, yaml.events.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.events.CollectionEndEvent):
            depth -= 1
        if getattr(event, "tag", None) is not None:  # a set has no order, so two readers would see two policies
            raise yaml.MarkedYAMLError(problem="tags are not allowed", problem_mark=mark)
        if depth > limits.MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="too deeply nested", problem_mark=mark)
