"""What lint can find, by code. docs/guide.md has the same table for its readers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Level: TypeAlias = Literal["error", "warning", "note"]

MAX_PER_CODE: Final = 100
"""Findings of one code that are told; of more there is the number."""
_MAX_QUOTED_CHARS: Final = 60

CODES: Final[Mapping[str, tuple[Level, str]]] = {
    "collection-unreachable": ("warning", "nothing sends a query to the collection, whatever is asked"),
    "description-missing": ("note", "without a description semantics have only the examples"),
    "example-astray": ("warning", "rules alone send the example to another collection"),
    "example-contradictory": ("warning", "the same query is an example of several targets, or out of scope too"),
    "example-repeated": ("note", "the same query twice in one target"),
    "examples-few": ("note", "fewer than 5 examples"),
    "examples-missing": ("warning", "semantics are asked, and the collection has no example"),
    "examples-no-head": ("note", "fewer than 10 examples: a head can hardly be trained for the collection"),
    "experiment-off": ("warning", "the experiment's share is 0, so it compares nothing"),
    "fallback-many": ("warning", "the fallback `all` would search more than 64 collections"),
    "golden-astray": ("warning", "rules alone send the golden query to another collection"),
    "golden-contradictory": ("warning", "the same golden query has two answers"),
    "golden-few": ("note", "fewer than 10 golden queries measure little"),
    "golden-in-examples": ("note", "the golden query is an example too, so that it measures nothing"),
    "golden-missing": ("note", "without golden queries nobody notices when the policy gets worse"),
    "golden-unreachable": ("warning", "the golden query's collections can never be chosen"),
    "keyword-everywhere": ("warning", "the keyword stands in the examples of most other targets"),
    "keyword-function-word": ("warning", "the keyword is a word of every query; it counts for little"),
    "keyword-overlap": ("warning", "the same keyword in several targets, endings aside"),
    "keyword-repeated": ("note", "the same keyword twice in one target, endings aside"),
    "keyword-shadowed": ("note", "a shorter keyword of the same target is part of it, so both count"),
    "keyword-without-words": ("warning", "the keyword has no word or sign, and is never found"),
    "pattern-backtracks": ("note", "harmless here, where patterns take linear time, but not in other engines"),
    "pattern-matches-everything": ("error", "the pattern matches the empty text, and so every query"),
    "pattern-matches-most": ("warning", "the pattern matches most examples and keywords of other targets"),
    "pattern-overlap": ("warning", "the pattern matches examples or keywords of another target"),
    "pattern-repeated": ("warning", "the same pattern twice"),
    "rule-redundant": ("note", "another rule says the same wherever this one holds"),
    "rule-shadowed": ("warning", "another rule leaves out what this one chooses, wherever it holds"),
    "rule-unconditional": ("warning", "the rule has no condition, and holds for every query"),
    "scope-astray": ("warning", "rules alone send a query that belongs nowhere to a collection"),
    "template-default-missing": ("note", "queries that match no template get none"),
    "template-unused": ("warning", "nothing picks the template, and it is not the default"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the author of a policy should look at."""

    level: Level
    """`error`: it must not go live; `warning`: probably wrong; `note`: could be better."""
    code: str
    """Stable name of the kind."""
    where: str
    """Path within the policy, such as `collections.billing.keywords.3`; "" for the whole."""
    message: str
    """In words; quotes the policy."""


def finding(code: str, where: str, message: str) -> Finding:
    """Return a finding with its code's level; raise KeyError for a code that has no entry."""
    return Finding(CODES[code][0], code, where, message)


def quoted(text: str) -> str:
    """Return a text of the policy in quotes, cut."""
    return f"'{text}'" if len(text) <= _MAX_QUOTED_CHARS else f"'{text[: _MAX_QUOTED_CHARS - 1]}…'"


def bounded(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield at most 100 findings of each code, and then one that says how many more there are."""
    counts: dict[str, int] = {}
    for one in findings:
        counts[one.code] = counts.get(one.code, 0) + 1
        if counts[one.code] <= MAX_PER_CODE:
            yield one
    for code, count in counts.items():
        if count > MAX_PER_CODE:
            yield finding(code, "", f"and {count - MAX_PER_CODE} more of these")
