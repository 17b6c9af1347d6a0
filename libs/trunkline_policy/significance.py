"""How far a difference between two shares may be chance. Without scipy, so that every part can use it."""

from __future__ import annotations

import math
from typing import Final

MAX_COUNT: Final = 10_000_000
_ROUNDING: Final = 1e-7
"""Tables whose probability differs by rounding alone are as likely as the one seen."""


def wilson(success_count: int, count: int, *, z: float = 1.959963984540054) -> tuple[float, float]:
    """Return the interval, within 0 to 1, in which the true share lies with 95 % confidence, as `z` says.

    Wilson's score interval (1927), which holds for few trials and for shares near to 0 and 1. (0, 1) for no trials.
    Raises ValueError for counts that cannot be.
    """
    _check(success_count, count)
    if not count:
        return 0.0, 1.0
    share, squared = success_count / count, z * z
    middle = (share + squared / (2 * count)) / (1 + squared / count)
    half = z * math.sqrt(share * (1 - share) / count + squared / (4 * count * count)) / (1 + squared / count)
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def fisher(first_success_count: int, first_count: int, second_success_count: int, second_count: int) -> float:
    """Return the two-sided p-value of Fisher's exact test: chance that equal shares look at least so different.

    The sum of the probabilities of all tables with these totals that are no likelier than the one seen; the cost is
    linear in the smaller total. Raises ValueError for counts that cannot be.
    """
    _check(first_success_count, first_count)
    _check(second_success_count, second_count)
    total = first_count + second_count
    successes = first_success_count + second_success_count
    least, most = max(0, successes - second_count), min(successes, first_count)
    base = _log_choose(total, successes)

    def log_probability(success_count: int) -> float:
        return _log_choose(first_count, success_count) + _log_choose(second_count, successes - success_count) - base

    seen = log_probability(first_success_count) + _ROUNDING
    probability = math.fsum(
        math.exp(value) for number in range(least, most + 1) if (value := log_probability(number)) <= seen
    )
    return min(1.0, probability)


def _log_choose(count: int, chosen: int) -> float:
    return math.lgamma(count + 1) - math.lgamma(chosen + 1) - math.lgamma(count - chosen + 1)


def _check(success_count: int, count: int) -> None:
    if not 0 <= success_count <= count <= MAX_COUNT:
        raise ValueError(f"0 <= successes <= trials <= {MAX_COUNT} is needed")


def sign_test(better_count: int, worse_count: int) -> float:
    """Return the two-sided p-value of the exact sign test: chance that even odds look at least so uneven.

    On queries that only one of two policies gets right this is McNemar's exact test. 1 for no counts. Raises
    ValueError for counts that cannot be.
    """
    count, fewer = better_count + worse_count, min(better_count, worse_count)
    _check(fewer, count)
    tail = math.fsum(math.exp(_log_choose(count, number) - count * math.log(2.0)) for number in range(fewer + 1))
    return min(1.0, 2.0 * tail)
