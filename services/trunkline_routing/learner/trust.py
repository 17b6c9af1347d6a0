"""What feedback is worth: one caller cannot carry it, and contradictions are settled by majority.

The rules, in their order:
1. Of what one caller says of the same query the last word counts.
2. One caller counts for at most 20 % of what is kept, or for 3 samples where that is more. The bound is the largest one
   that fulfils this for all callers together, so that 10,000 corrections of one caller do not raise it for that caller.
   Of a caller with more, the newest are kept.
3. Each caller has one vote on each query; a label needs more than half of the votes, else the query is left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_policy.normal import normalise
from trunkline_routing.feedback.records import FeedbackRecord

CALLER_SHARE: Final = 0.2
"""Of the samples that are kept, one caller's at most."""
CALLER_FLOOR: Final = 3
"""Samples that a caller may have where the share gives fewer."""


_Word = tuple[str, FeedbackRecord]
"""What a caller said, and of what: a query or a decision."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A query and where it belongs, as most of those who said so have it."""

    text: str
    right: tuple[str, ...]
    """Sorted; never empty."""


@dataclass(frozen=True, slots=True)
class Trusted:
    """Feedback that may be learned from."""

    samples: tuple[Sample, ...]
    """One for each query, in the order of their normalised texts."""
    distrusted_count: int
    """Labelled queries of callers that were left out by the bounds or by contradiction."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Decisions with feedback, and those that were right."""

    count: int = 0
    success_count: int = 0

    @property
    def rate(self) -> float:
        """Share that was right, 0 without any."""
        return self.success_count / self.count if self.count else 0.0


def trusted(records: Iterable[FeedbackRecord]) -> Trusted:
    """Return the samples that feedback gives by the rules above."""
    labelled: dict[str, dict[str, FeedbackRecord]] = defaultdict(dict)
    for record in sorted(records, key=lambda each: each.at_s):
        if record.text and _label(record):
            labelled[record.caller][normalise(record.text)] = record
    whole = sum(map(len, labelled.values()))
    kept = bounded_by_caller(labelled)
    votes: dict[str, list[FeedbackRecord]] = defaultdict(list)
    for words in kept.values():
        for query, record in words:
            votes[query].append(record)
    samples, used = [], 0
    for query in sorted(votes):
        label, count = Counter(_label(record) for record in votes[query]).most_common(1)[0]
        if 2 * count > len(votes[query]):
            latest = max(votes[query], key=lambda each: each.at_s)
            samples.append(Sample(latest.text, label))
            used += count
    return Trusted(tuple(samples), whole - used)


def tally(records: Iterable[FeedbackRecord]) -> Tally:
    """Return how many decisions were right: each caller's last word for each decision, as many as the bound allows."""
    last: dict[str, dict[str, FeedbackRecord]] = defaultdict(dict)
    for record in sorted(records, key=lambda each: each.at_s):
        if record.success is not None:
            last[record.caller][record.decision] = record
    kept = bounded_by_caller(last)
    told = [record.success is True for words in kept.values() for _, record in words]
    return Tally(len(told), sum(told))


def bounded_by_caller(said: Mapping[str, Mapping[str, FeedbackRecord]]) -> dict[str, list[_Word]]:
    """Return each caller's newest words, as many as the bound allows; callers in the order of their names."""
    limit = caller_limit([len(each) for each in said.values()])
    return {
        caller: sorted(said[caller].items(), key=lambda word: (-word[1].at_s, word[0]))[:limit]
        for caller in sorted(said)
    }


def caller_limit(counts: Sequence[int]) -> int:
    """Return the largest number of samples that one caller may have, given how many each one has.

    It is the largest c with c <= max(3, 0.2 * sum(min(n, c))). As sum(min(n, c)) / c never grows with c, it is found by
    halving.
    """
    low, high = CALLER_FLOOR, max(counts, default=CALLER_FLOOR)
    while low < high:
        middle = (low + high + 1) // 2
        if middle <= CALLER_SHARE * sum(min(count, middle) for count in counts):
            low = middle
        else:
            high = middle - 1
    return low


def _label(record: FeedbackRecord) -> tuple[str, ...]:
    """Where the caller says that the query belongs: what it named, else the first choice if that was right."""
    if record.right:
        return tuple(sorted(set(record.right)))
    return record.chosen[:1] if record.success else ()
