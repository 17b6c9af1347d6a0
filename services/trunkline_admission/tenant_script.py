"""The tenant script's arguments and answers as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeGuard

from trunkline_admission.quota import Limits, Period, Unit
from trunkline_lease.charge import Charge
from trunkline_mesh.errors import BackendUnavailable

KINDS: Final = (
    (Period.RATE, Unit.REQUESTS),
    (Period.RATE, Unit.TOKENS),
    (Period.DAY, Unit.REQUESTS),
    (Period.DAY, Unit.TOKENS),
    (Period.MONTH, Unit.REQUESTS),
    (Period.MONTH, Unit.TOKENS),
)
"""The limits, in the order of their numbers in the script."""
DAY_REQUESTS: Final = 1 + KINDS.index((Period.DAY, Unit.REQUESTS))
"""Number of the limit that may be passed by rule."""
KEY_LIMITS: Final = 10
"""Added to the number of a key's limit."""
WRONG_WINDOW: Final = -1
NEVER: Final = -1
"""The delay of what exceeds all that a limit ever has room for."""

_COUNTS: Final = {kind: index for index, kind in enumerate(KINDS[2:])}
_WHOLE: Final = frozenset((int,))
_Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TenantAnswer:
    """What the script told of a tenant, and of a key if one was named."""

    granted: Charge
    refusing: int
    delay_us: int
    """Of the refusing limit; NEVER if waiting does not help."""
    would_refuse: int
    """Bits by number of the limits on trial that would have granted nothing."""
    tenant: _Numbers
    """Counts of the day's requests, its tokens, the month's; levels of requests and tokens."""
    key: _Numbers
    """The same; empty without a key."""
    trial: _Numbers
    """Levels of requests and tokens; empty without limits on trial."""


def limit_arguments(limits: Limits) -> tuple[float, ...]:
    """Return the eight numbers of a set of limits; of several for the same thing the smallest."""
    counts = [0, 0, 0, 0]
    for each in limits.counts:
        index = _COUNTS.get((each.period, each.unit))
        if index is not None:
            counts[index] = min(counts[index] or each.limit, each.limit)
    numbers: list[float] = []
    for bucket in (limits.requests, limits.tokens):
        numbers += (0, 0) if bucket is None else (bucket.rate_per_s, bucket.burst)
    return (*numbers, *counts)


def read_answer(raw: object, *, with_key: bool, with_trial: bool) -> TenantAnswer:
    """Return the script's answer. Raises BackendUnavailable for anything else."""
    length = 12 + 6 * with_key + 2 * with_trial
    if not is_numbers(raw) or len(raw) != length or raw[0] != 0 or raw[1] < 0 or raw[2] < 0:
        raise BackendUnavailable("the quota store answered something else than a grant")
    key_end = 12 + 6 * with_key
    return TenantAnswer(
        granted=Charge(raw[1], raw[2]),
        refusing=raw[3],
        delay_us=raw[4],
        would_refuse=raw[5],
        tenant=tuple(raw[6:12]),
        key=tuple(raw[12:key_end]),
        trial=tuple(raw[key_end:]),
    )


def is_numbers(raw: object) -> TypeGuard[list[int] | tuple[int, ...]]:
    """Return True for a list of whole numbers."""
    return isinstance(raw, list | tuple) and set(map(type, raw)) <= _WHOLE
