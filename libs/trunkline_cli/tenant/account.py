"""A tenant's account over regions: what each region counted, added up line by line."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from typing import IO, NamedTuple

from trunkline.admission.v1 import usage_service_pb2 as usage_pb


class LineName(NamedTuple):
    """What a line counts."""

    day: str
    stage: str
    collection: str
    label_value: str
    price_version: str


@dataclass(slots=True)
class LineSum:
    """How often, and what it cost."""

    count: int = 0
    tokens: int = 0
    cost_micros: int = 0


@dataclass(slots=True)
class Account:
    """Several regions' answers as one."""

    lines: dict[LineName, LineSum]
    """Sorted by name."""
    requests: int
    currencies: tuple[str, ...]
    """More than one where the regions' price lists differ: then sums of money mean nothing."""
    complete_until_s: float | None
    """Unix time up to which every region has counted; None where one does not say."""
    truncated: bool

    @property
    def cost_micros(self) -> int:
        """What everything cost."""
        return sum(line.cost_micros for line in self.lines.values())


def added_up(answers: Sequence[usage_pb.GetUsageResponse]) -> Account:
    """Return the sum; a request is answered, and counted, in one region alone."""
    lines: dict[LineName, LineSum] = {}
    for line in _lines(answers):
        name = LineName(line.day, line.stage, line.collection, line.label_value, line.price_version)
        found = lines.setdefault(name, LineSum())
        found.count += line.count
        found.tokens += line.tokens
        found.cost_micros += line.cost_micros
    until = [each.complete_until_time.ToNanoseconds() / 1e9 for each in answers if each.HasField("complete_until_time")]
    return Account(
        lines=dict(sorted(lines.items())),
        requests=sum(each.requests for each in answers),
        currencies=tuple(sorted({each.currency for each in answers if each.currency})),
        complete_until_s=min(until) if answers and len(until) == len(answers) else None,
        truncated=any(each.truncated for each in answers),
    )


def _lines(answers: Iterable[usage_pb.GetUsageResponse]) -> Iterable[usage_pb.UsageLine]:
    return (line for answer in answers for line in answer.lines)


def write_csv(stream: IO[str], account: Account) -> None:
    """Write the lines as CSV (RFC 4180, but with plain line ends) with a header; money in millionths."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*LineName._fields, *(each.name for each in fields(LineSum)), "currency"])
    currency = "/".join(account.currencies)
    writer.writerows([*name, *astuple(sums), currency] for name, sums in account.lines.items())
