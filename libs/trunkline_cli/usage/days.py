"""Days that commands about usage take."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date
from typing import Final

from trunkline_cli.exits import CliError, Exit

_MONTH: Final = re.compile(r"(\d{4})-(\d{2})")


def days_of(day: str, month: str, first: str, last: str) -> tuple[str, str]:
    """Return the first and the last day that `--day`, `--month` or `--from` and `--to` name; empty for no bound.

    Raises CliError for what is no day or month, and for more than one way to say it.
    """
    if sum((bool(day), bool(month), bool(first or last))) > 1:
        raise CliError("give --day, --month, or --from and --to", code=Exit.USAGE)
    if month:
        return _month(month)
    first, last = (day, day) if day else (first, last)
    for each in (first, last):
        checked_day(each)
    if first and last and last < first:
        raise CliError("--to must not be before --from", code=Exit.USAGE)
    return first, last


def checked_day(day: str) -> str:
    """Return a day, or nothing as it is. Raises CliError for what is neither."""
    try:
        if day and date.fromisoformat(day).isoformat() == day:
            return day
    except ValueError:
        pass
    if day:
        raise CliError(f"{day!r} is no day: YYYY-MM-DD", code=Exit.USAGE)
    return day


def _month(month: str) -> tuple[str, str]:
    found = _MONTH.fullmatch(month)
    if found is None or not 1 <= int(found[2]) <= 12 or not int(found[1]):
        raise CliError(f"{month!r} is no month: YYYY-MM", code=Exit.USAGE)
    return f"{month}-01", f"{month}-{monthrange(int(found[1]), int(found[2]))[1]:02d}"
