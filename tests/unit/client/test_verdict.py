"""What may follow a failed attempt."""

from __future__ import annotations

import pytest

from trunkline_client.failure import Failure
from trunkline_client.methods import Repeat
from trunkline_client.reasons import REASONS
from trunkline_client.verdict import Verdict, judge


def _judge(
    reason: str, repeat: Repeat = Repeat.FREELY, *, share_was_part: bool = False, renewed_token: bool = False
) -> Verdict:
    status = REASONS[reason].status if reason else "UNAVAILABLE"
    failure = Failure(reason, status, "text")
    return judge(failure, repeat=repeat, share_was_part=share_was_part, renewed_token=renewed_token)


_SPECIAL = {"RESIDENCY_ROUTER_OUTSIDE"}


@pytest.mark.parametrize("reason", [name for name in REASONS if name not in _SPECIAL])
def test_reads_repeat_exactly_what_the_contract_calls_retryable(reason: str) -> None:
    """The enum's option decides, not the status."""
    assert _judge(reason).repeat is REASONS[reason].retryable


def test_a_lost_connection_is_repeated_for_reads_only() -> None:
    """Nothing is known of a transport error, so a compare-and-set is not sent twice."""
    assert _judge("").repeat
    assert not _judge("", Repeat.UNSENT).repeat


@pytest.mark.parametrize(
    "reason", ["OVERLOADED", "DRAINING", "MAP_NOT_READY", "STALE_MAP", "QUOTA_EXHAUSTED", "IN_FLIGHT_LIMIT"]
)
def test_what_was_refused_at_entry_may_always_be_sent_again(reason: str) -> None:
    """A refusal before any work is as good as not having been sent."""
    assert _judge(reason, Repeat.UNSENT).repeat


@pytest.mark.parametrize("reason", ["MAP_UNWRITABLE", "BACKEND_TIMEOUT", "WRITE_INCOMPLETE", "PREEMPTED"])
def test_a_change_of_unknown_outcome_is_not_repeated(reason: str) -> None:
    """A change that may have been made is the caller's to read back."""
    assert not _judge(reason, Repeat.UNSENT).repeat


@pytest.mark.parametrize("reason", ["QUOTA_EXHAUSTED", "STORAGE_FULL", "WRITE_INCOMPLETE", "IN_FLIGHT_LIMIT"])
def test_some_reasons_hold_at_every_router(reason: str) -> None:
    """A spent quota is not dodged by asking elsewhere."""
    assert _judge(reason).everywhere


@pytest.mark.parametrize("reason", ["OVERLOADED", "PREEMPTED"])
def test_overload_moves_traffic_at_once(reason: str) -> None:
    """A router without room, or whose borrowed room was wanted back, is relieved; another may be asked at once."""
    verdict = _judge(reason)

    assert verdict.relieve
    assert not verdict.everywhere


def test_a_share_that_was_too_short_is_followed_by_all_that_is_left() -> None:
    """The server saw only the attempt's share of the deadline, so the caller's time may still do."""
    assert _judge("DEADLINE_EXCEEDED", share_was_part=True).whole_rest
    assert not _judge("DEADLINE_EXCEEDED", share_was_part=False).repeat
    assert not _judge("DEADLINE_EXCEEDED", Repeat.UNSENT, share_was_part=True).repeat
    assert _judge("DEADLINE_UNREACHABLE", Repeat.UNSENT, share_was_part=True).repeat


def test_an_expired_credential_is_tried_once_more_with_a_new_one() -> None:
    """Only a token that can be renewed is worth another attempt."""
    assert _judge("CREDENTIAL_EXPIRED", renewed_token=True).free
    assert not _judge("CREDENTIAL_EXPIRED").repeat


def test_a_residency_refusal_is_a_redirect() -> None:
    """Following the refusal costs no retry budget and no pause."""
    verdict = _judge("RESIDENCY_ROUTER_OUTSIDE")

    assert verdict.repeat
    assert verdict.free
    assert not verdict.pause


def test_what_exceeds_all_that_a_limit_ever_has_is_not_repeated() -> None:
    """It names the limit and no time to come back; a refusal of another kind that names one is repeated."""
    for reason, delay_s, repeated in (
        ("QUOTA_EXHAUSTED", None, False),
        ("QUOTA_EXHAUSTED", 1.0, True),
        ("IN_FLIGHT_LIMIT", None, True),
    ):
        failure = Failure(reason, "RESOURCE_EXHAUSTED", "text", {"limit": "40"}, delay_s)
        assert judge(failure, repeat=Repeat.FREELY, share_was_part=False, renewed_token=False).repeat is repeated
