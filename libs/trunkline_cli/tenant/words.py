"""What people write in options of tenants: money, times, labels, and limits of credentials."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_cli.exits import CliError, Exit

MICROS: Final = 1_000_000
_MONTHLY: Final = "/month"


def micros_of(text: str) -> int:
    """Return a budget such as `12.50/month` in millionths of the currency; 0 for none. Raises CliError."""
    try:
        amount = Decimal(text.removesuffix(_MONTHLY))
    except InvalidOperation:
        raise _usage(f"--budget must be an amount such as 12.50/month, not {text!r}") from None
    micros = amount * MICROS if amount.is_finite() else Decimal("0.5")
    if micros != micros.to_integral_value() or not 0 <= micros <= 10**15:
        raise _usage(f"--budget must be 0 to 1,000,000,000 with at most 6 decimals, not {text!r}")
    return int(micros)


def money(micros: int, currency: str = "") -> str:
    """Return an amount as people write it: at least two decimals, more where they count."""
    whole, part = divmod(abs(micros), MICROS)
    decimals = f"{part:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if micros < 0 else ''}{whole:,}.{decimals} {currency}".rstrip()


def moment_of(option: str, text: str) -> datetime:
    """Return a time such as `2026-12-31T00:00Z`. Raises CliError, also for one without a zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _usage(f"{option} must be a time such as 2026-12-31T00:00Z, not {text!r}") from None
    if moment.tzinfo is None:
        raise _usage(f"{option} must say its zone: {text}Z for UTC, or an offset such as +02:00")
    return moment.astimezone(UTC)


def labels_of(items: Iterable[str]) -> dict[str, str]:
    """Return labels written `name=value`. Raises CliError."""
    found: dict[str, str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise _usage(f"--label must be NAME=VALUE, not {item!r}")
        found[name] = value
    return found


def key_limits_of(items: Iterable[str]) -> dict[str, entries_pb.KeyLimit]:
    """Return limits of credentials written `SUBJECT=PER_MINUTE` or `SUBJECT=PER_MINUTE/PER_DAY`. Raises CliError.

    A subject may hold `=` itself; 0 stands for no limit.
    """
    found: dict[str, entries_pb.KeyLimit] = {}
    for item in items:
        subject, equals, numbers = item.rpartition("=")
        per_minute, slash, per_day = numbers.partition("/")
        if not equals or not subject or not _is_number(per_minute) or (slash and not _is_number(per_day)):
            raise _usage(f"--key must be SUBJECT=PER_MINUTE or SUBJECT=PER_MINUTE/PER_DAY, not {item!r}")
        found[subject] = entries_pb.KeyLimit(
            subject=subject, requests_per_minute=int(per_minute), requests_per_day=int(per_day or 0)
        )
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 15


def _usage(message: str) -> CliError:
    return CliError(message, code=Exit.USAGE)
