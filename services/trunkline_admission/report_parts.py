"""A router's report on its way to the store: in parts that are small enough to be counted without holding others up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from trunkline_admission.seen import TenantSeen, TierSeen

PART_TENANTS: Final = 100
"""Tenants in one part: the store is busy with one for one or two milliseconds, and quotas wait in the same store."""


@dataclass(frozen=True, slots=True)
class TenantRow:
    """One tenant of a report."""

    seen: TenantSeen
    month: str
    """Label of its month, in its time zone."""
    home: str = ""
    """Another region that keeps its budget; empty if this one does."""


@dataclass(frozen=True, slots=True)
class KnownReport:
    """A report as far as its tiers and tenants are known here."""

    router: str
    sequence: int
    tiers: tuple[TierSeen, ...]
    rows: tuple[TenantRow, ...]
    fronts: bool
    """True for a router's; False for another region's costs."""
    down: bool
    """True if the map has the region down."""
    planned: bool
    """True if the region is being drained: its silence is no outage."""


@dataclass(frozen=True, slots=True)
class Part:
    """What the store counts in one step."""

    router: str
    sequence: int
    index: int
    """0 and up; parts are counted in their order."""
    tiers: tuple[TierSeen, ...]
    """In the first part only."""
    tenants: tuple[TenantRow, ...]
    fronts: bool
    down: bool
    planned: bool
    late: bool
    """True where it waited for the store: it is no evidence of what happens now."""


def parts_of(known: KnownReport, *, late: bool) -> Iterator[Part]:
    """Yield the parts of a report, at least one."""
    rows = known.rows
    for index, first in enumerate(range(0, max(1, len(rows)), PART_TENANTS)):
        yield Part(
            router=known.router,
            sequence=known.sequence,
            index=index,
            tiers=known.tiers if index == 0 else (),
            tenants=rows[first : first + PART_TENANTS],
            fronts=known.fronts,
            down=known.down,
            planned=known.planned,
            late=late,
        )
