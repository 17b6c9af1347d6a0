"""The token bucket's laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_lease import TokenBucket

RATES = st.floats(0.01, 10_000)
BURSTS = st.integers(1, 10_000)
STEPS = st.lists(st.tuples(st.floats(0, 30), st.integers(1, 500), st.booleans()), max_size=60)


@given(rate=RATES, burst=BURSTS, steps=STEPS)
def test_a_bucket_never_grants_more_than_its_burst_and_what_flowed_in(
    rate: float, burst: int, steps: list[tuple[float, int, bool]]
) -> None:
    """Over any history, grants stay within burst + rate * t."""
    bucket, now_s, granted = TokenBucket(rate, burst, 0.0), 0.0, 0
    for pause_s, tokens, partly in steps:
        now_s += pause_s
        if partly:
            granted += bucket.take_up_to(tokens, now_s)
        elif bucket.take(tokens, now_s) == 0.0:
            granted += tokens

        assert granted <= burst + rate * now_s + 1e-6


@given(rate=RATES, burst=BURSTS, steps=STEPS, tokens=st.integers(1, 10_000))
def test_the_delay_of_a_refusal_is_when_it_would_be_granted(
    rate: float, burst: int, steps: list[tuple[float, int, bool]], tokens: int
) -> None:
    """Coming back after the delay succeeds, and there is a delay exactly if the tokens fit into the burst."""
    bucket, now_s = TokenBucket(rate, burst, 0.0), 0.0
    for pause_s, wanted, _ in steps:
        now_s += pause_s
        bucket.take_up_to(wanted, now_s)

    delay_s = bucket.take(tokens, now_s)

    assert (delay_s is None) == (tokens > burst)
    if delay_s:
        assert bucket.take(tokens, now_s + delay_s) == 0.0


@given(burst=BURSTS, given_back=st.integers(0, 100_000))
def test_what_is_given_back_never_exceeds_the_burst(burst: int, given_back: int) -> None:
    """A refund cannot make a bucket larger than it is."""
    bucket = TokenBucket(1.0, burst, 0.0)
    bucket.take_up_to(burst, 0.0)

    bucket.give_back(given_back)

    assert bucket.available(0.0) == min(burst, given_back)


@pytest.mark.parametrize("jump_s", [-3600.0, -1.0])
def test_a_clock_that_steps_back_locks_nobody_out(jump_s: float) -> None:
    """After a step back, tokens flow in from the new time on."""
    bucket = TokenBucket(10.0, 10, 5_000.0)
    bucket.take_up_to(10, 5_000.0)

    assert bucket.available(5_000.0 + jump_s) == 0.0
    assert bucket.available(5_001.0 + jump_s) == 10.0


def test_a_smaller_quota_takes_effect_at_once() -> None:
    """Resizing voids what exceeds the new burst and refills at the new rate."""
    bucket = TokenBucket(100.0, 100, 0.0)

    bucket.resize(1.0, 5, 0.0)

    assert bucket.take_up_to(100, 0.0) == 5
    assert bucket.available(2.0) == 2.0


def test_a_bucket_without_rate_or_burst_grants_nothing() -> None:
    """A share of zero is a refusal without a time to come back."""
    bucket = TokenBucket(0.0, 0.0, 0.0)

    assert bucket.take(1, 100.0) is None
    assert bucket.take_up_to(1, 100.0) == 0


@pytest.mark.parametrize(("rate", "burst"), [(-1.0, 1.0), (1.0, -1.0)])
def test_negative_bounds_are_refused(rate: float, burst: float) -> None:
    """A negative rate or burst is a mistake of the caller."""
    with pytest.raises(ValueError, match="not negative"):
        TokenBucket(rate, burst, 0.0)
