"""Finds patterns that take exponential time where an engine backtracks, such as `(a+)+$`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_PART: Final = re.compile(
    r"\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|\(\?P?<\w+>|\(\?[a-zA-Z-]*:|[*+?]\??|\{\d+(?:,\d*)?\}\??|.", re.S
)
_OPENED: Final = "("


@dataclass(slots=True)
class _Group:
    repeats: bool = False
    """Whether something in it is repeated without bound."""
    firsts: list[str] = field(default_factory=lambda: [""])
    """With what each alternative begins; "" as long as it has nothing."""

    def ambiguous(self) -> bool:
        return self.repeats or len(set(self.firsts)) < len(self.firsts)


def backtracks(regex: str) -> bool:
    """Whether something that can match the same text in several ways is itself repeated without bound.

    Goes by the structure alone: a repetition within a repetition, or alternatives that begin alike. It may err on
    either side, and takes linear time.
    """
    stack = [_Group()]
    closed: _Group | None = None
    for part in _PART.findall(regex):
        if part.startswith(_OPENED):
            stack.append(_Group())
            closed = None
        elif part == ")" and len(stack) > 1:
            closed = stack.pop()
            stack[-1].repeats |= closed.repeats
            _begin(stack[-1], f"({len(stack[-1].firsts)}")
        elif part[0] in "*+" or re.fullmatch(r"\{\d+,\}\??", part):
            if closed is not None and closed.ambiguous():
                return True
            stack[-1].repeats = True
        elif part == "|":
            stack[-1].firsts.append("")
            closed = None
        elif part[0] not in "?{^$":
            _begin(stack[-1], part)
            closed = None
    return False


def _begin(group: _Group, part: str) -> None:
    group.firsts[-1] = group.firsts[-1] or part
