"""Finds on which line of a policy's YAML something stands."""

from __future__ import annotations

import re
from typing import Final

import yaml

_INDEX: Final = re.compile(r"\[(\d+)\]")


class Lines:
    """Lines of a YAML text by paths such as `collections.debugging.keywords.3`. Made in time linear in the text."""

    def __init__(self, text: str) -> None:
        try:
            self._root = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except (yaml.YAMLError, RecursionError):
            self._root = None

    def of(self, where: str) -> int | None:
        """Return the line, from 1, on which a path's value begins; of the nearest part that is there, else None.

        What stands before a colon (a file's name) and the whole policy, `""`, have no line of their own.
        """
        path = _INDEX.sub(r".\1", where.rpartition(":")[2])
        node, line = self._root, None
        for part in filter(None, path.split(".")):
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return line


def _child(node: yaml.Node | None, part: str) -> tuple[int, yaml.Node] | None:
    """Return a part of a node with its line; of a mapping the line of the key."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value):
        item = node.value[int(part)]
        return item.start_mark.line + 1, item
    return None
