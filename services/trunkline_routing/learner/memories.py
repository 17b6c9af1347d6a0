"""What a tenant's callers said within the time that its policy remembers, from every jurisdiction of the tenant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_routing.feedback.journal import FeedbackStore
from trunkline_routing.feedback.records import FeedbackRecord, ShadowRecord
from trunkline_routing.learner.trust import Tally, tally

DAY_S: Final = 86_400.0
VARIANT: Final = "variant"
"""Name of the arm that is tried."""
MAX_EXPERIMENTS: Final = 32
"""Comparisons that are told: those of the policy, and rollouts of the last weeks."""
MAX_RECORDS: Final = 100_000
"""Records of both kinds that are read at most, newest first."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Feedback and shadowed decisions."""

    feedback: tuple[FeedbackRecord, ...]
    shadows: tuple[ShadowRecord, ...]

    def since(self, since_s: float) -> tuple[FeedbackRecord, ...]:
        """Return the feedback from a Unix time on."""
        return tuple(record for record in self.feedback if record.at_s >= since_s)

    def of_version(self, version: int) -> Tally:
        """Return how often a version of the policy was right; decisions of a variant or a canary are not its own."""
        return tally(record for record in self.feedback if record.policy_version == version and not _is_variant(record))

    def arms(self, experiment: str) -> tuple[Tally, Tally]:
        """Return how often control and variant were right; in a shadow the variant never answers."""
        control: list[FeedbackRecord] = []
        variant: list[FeedbackRecord] = []
        for record in self.feedback:
            for name, arm, shadow in record.assignments:
                if name == experiment and not shadow:
                    (variant if arm == VARIANT else control).append(record)
        return tally(control), tally(variant)

    def shadowed(self, experiment: str) -> tuple[int, int]:
        """Return how many decisions were shadowed, and in how many both chose the same."""
        told = [record.agrees for record in self.shadows if record.experiment == experiment]
        return len(told), sum(told)

    def experiments(self) -> tuple[str, ...]:
        """Return the names of what was compared last, sorted; at most MAX_EXPERIMENTS."""
        seen = [(record.at_s, name) for record in self.feedback for name, _, _ in record.assignments]
        seen += [(record.at_s, record.experiment) for record in self.shadows]
        latest = dict.fromkeys(name for _, name in sorted(seen, reverse=True))
        return tuple(sorted([*latest][:MAX_EXPERIMENTS]))


async def recall(
    store: FeedbackStore, jurisdictions: Iterable[str], tenant_id: str, *, since_s: float, max_samples: int
) -> Memory:
    """Read what is kept, at most `max_samples` of feedback, newest last. Raises BackendUnavailable.

    Where there is more, every caller keeps as many of its newest: a flood of one pushes nobody else's out.
    """
    feedback: list[FeedbackRecord] = []
    shadows: list[ShadowRecord] = []
    for jurisdiction in sorted(jurisdictions):
        for record in await store.read(jurisdiction, tenant_id, since_s=since_s, limit=MAX_RECORDS):
            if isinstance(record, FeedbackRecord):
                feedback.append(record)
            else:
                shadows.append(record)
    return Memory(tuple(_fairly(feedback, max_samples)), tuple(shadows))


def _fairly(feedback: Iterable[FeedbackRecord], most: int) -> list[FeedbackRecord]:
    callers: dict[str, list[FeedbackRecord]] = defaultdict(list)
    for record in feedback:
        callers[record.caller].append(record)
    for records in callers.values():
        records.sort(key=lambda record: record.at_s)
    share = even_share([len(records) for records in callers.values()], most)
    kept = [record for records in callers.values() for record in records[len(records) - min(share, len(records)) :]]
    return sorted(kept, key=lambda record: record.at_s)


def even_share(counts: Sequence[int], most: int) -> int:
    """Return the largest number for each that keeps the sum of what each has, up to it, within `most`."""
    low, high = 0, max(counts, default=0)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(count, middle) for count in counts) <= most:
            low = middle
        else:
            high = middle - 1
    return low


def _is_variant(record: FeedbackRecord) -> bool:
    return any(arm == VARIANT and not shadow for _, arm, shadow in record.assignments)
