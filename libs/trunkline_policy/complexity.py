"""How much a query asks of a model: a score from 0 to 1 by rules, with what it consists of.

The score is the sum of what each cue gives, at most 1. Length, clauses, numbers and code are seen in any language that
sets spaces between words; the words of questions, comparison, aggregation, reasoning and several steps are English.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_policy.normal import MAX_TEXT_CHARS, normalise
from trunkline_policy.words import Words

LONG_WORDS: Final = 60
"""Words and signs from which length counts fully."""

_LENGTH: Final = 0.25


def _cues(words: str) -> frozenset[str]:
    return frozenset(words.split())


_CUES: Final = (
    ("questions", 0.10, 2, _cues("what which who whom whose when where why how whether ?")),
    ("clauses", 0.15, 4, _cues(", ; : and but because while although unless whereas if given assuming")),
    (
        "comparison",
        0.20,
        1,
        _cues(
            "compare compared comparison versus vs difference differences differ better worse pros cons alternatives"
        ),
    ),
    (
        "aggregation",
        0.15,
        1,
        _cues("average total sum count median percentage trend per overall summarise summarize breakdown distribution"),
    ),
    (
        "reasoning",
        0.25,
        2,
        _cues(
            "why explain prove derive analyse analyze evaluate justify recommend optimise optimize implications infer"
        ),
    ),
    (
        "several steps",
        0.25,
        2,
        _cues("step steps then first second finally afterwards plan design strategy implement migrate roadmap"),
    ),
    ("code", 0.15, 3, _cues("` { } = < > def class function traceback exception import return select null")),
)
"""Name, what it gives at most, how many distinct or repeated cues give that, and the cues."""
_NUMBERS: Final = ("numbers", 0.10, 3)
_WORDS: Final = Words("none")


@dataclass(frozen=True, slots=True)
class Complexity:
    """A query's complexity."""

    score: float
    """0 to 1."""
    parts: tuple[tuple[str, float], ...]
    """What it is the sum of, largest first; only what gives anything."""

    @property
    def reason(self) -> str:
        """The score in words."""
        told = ", ".join(f"{name} {given:.2f}" for name, given in self.parts)
        return f"complexity {self.score:.2f}: {told}" if told else f"complexity {self.score:.2f}"


def complexity_of(text: str) -> Complexity:
    """Return the complexity of a text, of which 4,096 characters are read. More cues never make it less complex."""
    words = [word.strip() for word in _WORDS.of(normalise(text[:MAX_TEXT_CHARS]))]
    given = [("length", _LENGTH * min(1.0, len(words) / LONG_WORDS))]
    given += [(name, _part(words, most, full, cues)) for name, most, full, cues in _CUES]
    name, most, full = _NUMBERS
    given.append((name, most * _share((word for word in words if word[:1].isdigit()), full)))
    parts = sorted(((name, part) for name, part in given if part > 0), key=lambda one: (-one[1], one[0]))
    return Complexity(min(1.0, sum(part for _, part in parts)), tuple(parts))


def _part(words: Sequence[str], most: float, full: int, cues: frozenset[str]) -> float:
    return most * _share((word for word in words if word in cues), full)


def _share(cues: Iterable[str], full: int) -> float:
    return min(1.0, sum(1 for _ in cues) / full)
