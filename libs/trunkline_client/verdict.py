"""Whether, and how, a failed attempt may be repeated. Pure rules, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trunkline_client.failure import Failure
from trunkline_client.methods import Repeat
from trunkline_client.residency import ROUTER_OUTSIDE

# Another router would say the same at once: the tenant's quota and the region that lacks the write are behind all of
# them, and what one caller may say or have under way is not meant to grow with the routers. These wait for the moment
# that was named.
_SAME_EVERYWHERE: Final = frozenset(
    {"QUOTA_EXHAUSTED", "STORAGE_FULL", "WRITE_INCOMPLETE", "FEEDBACK_LIMITED", "IN_FLIGHT_LIMIT"}
)
# Refused before anything was done, so even a call that must not be doubled may be sent again.
_REFUSED_AT_ENTRY: Final = frozenset(
    {"OVERLOADED", "DRAINING", "MAP_NOT_READY", "STALE_MAP", "QUOTA_EXHAUSTED", "IN_FLIGHT_LIMIT"}
)
# The server names the caller's deadline, but an attempt was given only its share of it.
TIME_IS_GONE: Final = frozenset({"DEADLINE_EXCEEDED", "DEADLINE_UNREACHABLE"})
_ASKS_FOR_LESS: Final = frozenset({"OVERLOADED", "DRAINING", "PREEMPTED"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from one failure.

    `repeat`: another attempt may be made. `pause`: the same router only after a pause, `everywhere`: any router only
    after it. `whole_rest`: the next attempt gets all the time that is left. `free`: it is no repeat in the sense of
    the retry budget. `relieve`: prefer other routers for a while.
    """

    repeat: bool
    pause: bool = True
    everywhere: bool = False
    whole_rest: bool = False
    free: bool = False
    relieve: bool = False


_STOP: Final = Verdict(repeat=False)


def judge(failure: Failure, *, repeat: Repeat, share_was_part: bool, renewed_token: bool) -> Verdict:
    """Return what may follow a failed attempt.

    `share_was_part`: the attempt was given less than all the time left. `renewed_token`: a token newer than the one
    refused can be had.
    """
    reason = failure.reason
    if reason == "QUOTA_EXHAUSTED" and failure.retry_delay_s is None and "limit" in failure.metadata:
        return _STOP  # it costs more than the limit ever has room for
    if reason == ROUTER_OUTSIDE:
        return Verdict(repeat=True, pause=False, free=True)
    if reason == "CREDENTIAL_EXPIRED":
        return Verdict(repeat=True, pause=False, free=True) if renewed_token else _STOP
    if reason in TIME_IS_GONE:
        may = share_was_part and (repeat is Repeat.FREELY or reason == "DEADLINE_UNREACHABLE")
        return Verdict(repeat=True, pause=False, whole_rest=True) if may else _STOP
    if repeat is Repeat.UNSENT and reason not in _REFUSED_AT_ENTRY:
        return _STOP
    if not failure.retryable:
        return _STOP
    return Verdict(repeat=True, everywhere=reason in _SAME_EVERYWHERE, relieve=reason in _ASKS_FOR_LESS)
