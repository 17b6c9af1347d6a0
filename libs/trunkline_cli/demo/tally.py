"""Counts what happened, for the summary."""

from __future__ import annotations

import asyncio
import math
import re
import urllib.request
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from trunkline_local import RegionRecord

_SAMPLE: Final = re.compile(r"^trunkline_(\w+)_total\{(?:\w+)=\"(\w+)\"\} ([0-9.e+]+)$", re.MULTILINE)
_WANTED: Final = frozenset({"decision_cache", "query_vector_cache", "inference_vectors"})
_MAX_PAGE_BYTES: Final = 4 << 20


@dataclass(slots=True)
class Tally:
    """Queries with their times in seconds, errors, refusals that were expected, and checks that did not hold."""

    elapsed_s: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    failed_checks: list[str] = field(default_factory=list)
    cache: Counter[tuple[str, str]] = field(default_factory=Counter)
    strategies: Counter[str] = field(default_factory=Counter)
    """What decided the demonstration's own questions, each counted once."""
    decided_s: dict[str, list[float]] = field(default_factory=dict)
    """Times of fresh decisions as the caller sees them, by what decided."""
    cost_units: list[float] = field(default_factory=list)
    """What each fresh decision cost."""

    @property
    def queries(self) -> int:
        """Queries in all, answered or not."""
        return len(self.elapsed_s) + self.errors.total() + self.refusals.total()

    def check(self, held: bool, what: str) -> bool:
        """Note a check; one that does not hold makes the demonstration fail."""
        if not held:
            self.failed_checks.append(what)
        return held

    def share_by(self, strategy: str) -> float:
        """Return the share of the questions that this decided; not a number without questions."""
        total = self.strategies.total()
        return self.strategies[strategy] / total if total else math.nan

    def rate(self, name: str, hits: Iterable[str]) -> float | None:
        """Return the share of hits among all look-ups of a cache; None without any."""
        total = sum(count for (cache, _), count in self.cache.items() if cache == name)
        return sum(self.cache[name, hit] for hit in hits) / total if total else None


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile; not a number without values."""
    if not values:
        return math.nan
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


async def read_caches(regions: Iterable[RegionRecord]) -> Counter[tuple[str, str]]:
    """Return the caches' counters of these regions, by cache and outcome; what does not answer counts as nothing."""
    # One process may serve several services; its page is read once.
    pages = {page for region in regions for page in region.metrics.values()}
    texts = await asyncio.gather(*(asyncio.to_thread(_read_page, page) for page in pages))
    found: Counter[tuple[str, str]] = Counter()
    for name, outcome, value in (match for text in texts for match in _SAMPLE.findall(text)):
        if name in _WANTED:
            found[name, outcome] += int(float(value))
    return found


def _read_page(address: str) -> str:
    try:
        with urllib.request.urlopen(address, timeout=2.0) as page:  # noqa: S310  # an address of the stack's own record
            text: str = page.read(_MAX_PAGE_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    return text
