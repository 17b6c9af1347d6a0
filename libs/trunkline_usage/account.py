"""The account: what journals add up to, each request once, in bounded memory."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

from trunkline_usage.aggregate import Amount, Heading, amounts, day_of, reach, repeat_key, winner
from trunkline_usage.records import OK, UsageRecord, record_of
from trunkline_usage.scan import Findings, Scan

PART_BYTES: Final = 32 << 20
"""Lines that are compared with each other at a time; they take some ten times as much memory."""
MAX_PARTS: Final = 64
"""Files that are open at once while journals are divided; parts that are still too large are divided again."""
MAX_DEPTH: Final = 4
REACH_S: Final = 86_400
"""Repeats of a request are looked for within a day before and after the days of an account."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an account is of."""

    first_day: str = ""
    """`YYYY-MM-DD` in the tenants' own time zones; empty for the earliest."""
    last_day: str = ""
    tenant_id: str = ""
    """Empty for all."""
    label: str = ""
    """Label whose values are told apart; empty for none."""

    def has_day(self, day: str) -> bool:
        """Return True for a day of the account."""
        return self.first_day <= day and (not self.last_day or day <= self.last_day)


@dataclass(frozen=True, slots=True)
class Account:
    """What was used."""

    wanted: Wanted
    lines: Sequence[tuple[Heading, Amount]]
    """In order."""
    requests: Mapping[str, int]
    """Distinct requests by tenant, in order."""
    repeats: int
    """Records beyond the first of their request."""
    answered_again: int
    """Requests that were answered more than once: their first answer was lost, or a caller asks the same again."""
    findings: Findings
    """Of the journals, days that were not asked for included."""


@dataclass(slots=True)
class _Tally:
    repeats: int = 0
    answered_again: int = 0


def account(
    roots: Sequence[Path],
    wanted: Wanted,
    *,
    part_bytes: int = PART_BYTES,
    spill_root: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Account:
    """Add up the journals in and below `roots`; `progress` is told the bytes read and the bytes in all.

    Of journals beyond `part_bytes` copies are divided into files in a temporary folder, in `spill_root` if it is given;
    it takes as much room as what is read. The same records give the same account, in whatever files and order they
    stand. Raises OSError, and ValueError for days that are none.
    """
    begin_s, end_s = reach(wanted.first_day or "1970-01-03", wanted.last_day or "2100-01-01")
    scan = Scan(roots, progress)
    lines = (
        (record, line)
        for record, line in scan.records()
        if begin_s <= record.at_s < end_s and wanted.tenant_id in ("", record.tenant_id)
    )
    tally, sums, requests = _Tally(), defaultdict[Heading, Amount](Amount), defaultdict[str, int](int)
    with tempfile.TemporaryDirectory(prefix="trunkline-usage-", dir=spill_root) as spill:
        for record in _distinct(lines, scan.total_bytes, part_bytes, Path(spill), tally):
            if not wanted.has_day(day_of(record.at_s, record.time_zone)):
                continue
            requests[record.tenant_id] += 1
            for heading, used in amounts(record, wanted.label):
                sums[heading].add(*used)
    return Account(
        wanted=wanted,
        lines=sorted(sums.items(), key=lambda item: item[0]),
        requests=dict(sorted(requests.items())),
        repeats=tally.repeats,
        answered_again=tally.answered_again,
        findings=scan.findings,
    )


def _distinct(
    lines: Iterable[tuple[UsageRecord, bytes]],
    size_bytes: int,
    part_bytes: int,
    spill: Path,
    tally: _Tally,
    depth: int = 0,
) -> Iterator[UsageRecord]:
    """Yield of each request the record that counts. Its repeats are in one part, whatever its files."""
    if size_bytes <= part_bytes or depth == MAX_DEPTH:
        yield from _winners((record for record, _ in lines), tally)
        return
    count = min(MAX_PARTS, -(-size_bytes // part_bytes) + 1)
    parts = [spill / f"{depth}-{index}" for index in range(count)]
    with ExitStack() as stack:
        files = [stack.enter_context(part.open("wb")) for part in parts]
        for record, line in lines:
            files[_part_of(record, depth, count)].write(line + b"\n")
    for part in parts:
        with part.open("rb") as file:
            some = ((record_of(line).record, line[:-1]) for line in file)
            yield from _distinct(some, part.stat().st_size, part_bytes, spill, tally, depth + 1)
        part.unlink()


def _part_of(record: UsageRecord, depth: int, count: int) -> int:
    key = "\0".join(repeat_key(record)).encode()
    return int.from_bytes(blake2b(key, digest_size=8, salt=bytes([depth])).digest(), "big") % count


def _winners(records: Iterable[UsageRecord], tally: _Tally) -> Iterator[UsageRecord]:
    kept: dict[tuple[str, str, str, str], UsageRecord] = {}
    answers: dict[tuple[str, str, str, str], set[float]] = {}
    for record in records:
        key = repeat_key(record)
        other = kept.setdefault(key, record)
        if other is record:
            continue
        tally.repeats += 1
        if other.outcome == record.outcome == OK:
            answers.setdefault(key, {other.at_s}).add(record.at_s)
        kept[key] = winner(other, record)
    tally.answered_again += sum(len(times) > 1 for times in answers.values())
    yield from kept.values()
