"""Levels: worse after lasting excess, better after lasting calm, never to and fro."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_admission.levels import (
    LATENCY_BUCKETS,
    MAX_STEP_S,
    MIN_CALLS,
    Evidence,
    Level,
    TierState,
    advance,
    advance_all,
    exceeded,
    p95_ms,
)
from trunkline_tiers import Levels, default_tiers

RULES = default_tiers().levels.model_copy(update={"down_after_s": 5.0, "up_after_s": 12.0})
CALM = Evidence(utilisation=0.1)
BUSY = Evidence(utilisation=0.8)
FULL = Evidence(utilisation=0.95)

signals = st.lists(st.tuples(st.sampled_from([CALM, BUSY, FULL]), st.integers(1, 25)), min_size=1, max_size=12).map(
    lambda runs: [evidence for evidence, length in runs for _ in range(length)]
)
"""One evidence a second, in runs, as load comes."""


def history(evidence: Sequence[Evidence | None], rules: Levels = RULES, step_s: float = 1.0) -> list[TierState]:
    """Return the states after each second."""
    state, states = TierState(), []
    for second, seen in enumerate(evidence):
        state = advance(state, seen, rules, step_s, 1000.0 + second)
        states.append(state)
    return states


def levels(evidence: Sequence[Evidence | None]) -> list[Level]:
    """Return the levels after each second."""
    return [state.level for state in history(evidence)]


def counts(**of_bucket: int) -> tuple[int, ...]:
    """Return a histogram: `b20=5` is five answers in bucket 20."""
    found = [0] * LATENCY_BUCKETS
    for name, count in of_bucket.items():
        found[int(name[1:])] = count
    return tuple(found)


def test_lasting_excess_brings_the_level_and_lasting_calm_takes_it_back() -> None:
    """Five seconds down, twelve up, by the default file 30 s and 5 min."""
    seen = levels([BUSY] * 6 + [CALM] * 13)

    assert seen[4] is Level.NORMAL
    assert seen[5:17] == [Level.REDUCED] * 12
    assert seen[17] is Level.NORMAL
    assert (default_tiers().levels.down_after_s, default_tiers().levels.up_after_s) == (30, 300)


def test_an_emergency_comes_at_once_and_goes_step_by_step() -> None:
    """From normal straight to emergency; back by way of reduced, each after its own calm."""
    seen = levels([FULL] * 6 + [CALM] * 26)

    assert seen[5] is Level.EMERGENCY
    assert seen[17] is Level.REDUCED
    assert seen[28] is Level.REDUCED
    assert seen[29] is Level.NORMAL


def test_an_emergency_ends_in_reduced_while_reduced_is_exceeded() -> None:
    """What is too much for normal is not too much for reduced."""
    assert levels([FULL] * 6 + [BUSY] * 60)[-1] is Level.REDUCED


def test_a_break_begins_the_count_anew() -> None:
    """Excess that comes and goes within the time is no lasting one."""
    assert set(levels(([FULL] * 5 + [CALM]) * 10)) == {Level.NORMAL}


def test_no_report_is_no_evidence() -> None:
    """Neither of excess nor of calm."""
    assert levels([FULL] * 6 + [None] * 100)[-1] is Level.EMERGENCY
    assert set(levels([None] * 100)) == {Level.NORMAL}


def test_the_cause_and_the_time_are_told() -> None:
    """Those of the turn; none when it is over."""
    states = history([Evidence(calls=100, errors=3, utilisation=0.95)] * 6 + [CALM] * 26)

    assert (states[5].cause, states[5].since_s) == ("utilisation,errors", 1005.0)
    assert states[-1].cause == ""


def test_what_was_not_observed_does_not_count() -> None:
    """A stall of an hour, or a clock that leaps, is worth a few seconds; one that steps back nothing."""
    rules = RULES.model_copy(update={"down_after_s": 30.0, "up_after_s": 300.0})
    after_leap = history([FULL, FULL], rules, step_s=3600.0)[-1]
    back = advance(after_leap, FULL, rules, -3600.0, 0.0)

    assert after_leap.over_emergency_s == MAX_STEP_S
    assert (back.level, back.over_emergency_s) == (Level.NORMAL, MAX_STEP_S)


@pytest.mark.parametrize(
    ("evidence", "signals"),
    [
        (Evidence(calls=3, errors=1), ()),
        (Evidence(calls=MIN_CALLS, errors=2), ()),
        (Evidence(calls=MIN_CALLS, errors=3), ("errors",)),
        (Evidence(calls=1000, errors=10), ()),
        (Evidence(calls=1000, errors=11), ("errors",)),
        (Evidence(utilisation=0.7), ()),
        (Evidence(utilisation=0.71), ("utilisation",)),
        (Evidence(latency_counts=counts(b22=MIN_CALLS - 1)), ()),
        (Evidence(latency_counts=counts(b22=MIN_CALLS)), ("latency",)),
        (Evidence(latency_counts=counts(b5=95, b30=5)), ()),
        (Evidence(latency_counts=counts(b5=94, b30=6)), ("latency",)),
    ],
)
def test_what_exceeds_a_threshold(evidence: Evidence, signals: tuple[str, ...]) -> None:
    """Enough calls, and above it, not at it."""
    assert exceeded(evidence, RULES.reduced) == signals


def test_a_percentile_lies_within_its_bucket() -> None:
    """Bucket i holds up to 2^(i/2) ms; all in one bucket is 95 % of the way through it."""
    value = p95_ms(counts(b20=100))

    assert value is not None
    assert 2**9.5 < value < 2**10


@given(st.lists(st.integers(0, 50), min_size=LATENCY_BUCKETS, max_size=LATENCY_BUCKETS))
def test_a_percentile_is_right_to_its_bucket(histogram: list[int]) -> None:
    """At least 95 % lie in or below the bucket that it names, and less than that below it."""
    value = p95_ms(histogram)
    if sum(histogram) < MIN_CALLS:
        assert value is None
        return
    assert value is not None
    inside = next(index for index in range(LATENCY_BUCKETS) if value <= 2 ** (index / 2) * (1 + 1e-9))
    assert sum(histogram[: inside + 1]) >= 0.95 * sum(histogram) > sum(histogram[:inside]) - 1e-9


@given(signals)
def test_worse_only_after_lasting_excess(evidence: list[Evidence]) -> None:
    """Every second of the time before a worse level was above that level's threshold."""
    seen = levels(evidence)
    for second, (before, after) in enumerate(pairwise([Level.NORMAL, *seen])):
        if after > before:
            thresholds = RULES.emergency if after is Level.EMERGENCY else RULES.reduced
            lasting = evidence[second - int(RULES.down_after_s) : second + 1]
            assert len(lasting) == RULES.down_after_s + 1
            assert all(exceeded(each, thresholds) for each in lasting)


@given(signals)
def test_better_only_after_lasting_calm_and_by_one(evidence: list[Evidence]) -> None:
    """No second of the time before a better level was above the threshold of the one that ends."""
    seen = levels(evidence)
    for second, (before, after) in enumerate(pairwise([Level.NORMAL, *seen])):
        if after < before:
            assert after == before - 1
            thresholds = RULES.emergency if before is Level.EMERGENCY else RULES.reduced
            calm = evidence[second - int(RULES.up_after_s) + 1 : second + 1]
            assert len(calm) == RULES.up_after_s
            assert not any(exceeded(each, thresholds) for each in calm)


@given(signals)
def test_lasting_excess_is_never_overlooked(evidence: list[Evidence]) -> None:
    """Whenever it has lasted long enough, the level is at least that bad."""
    seen, needed = levels(evidence), int(RULES.down_after_s) + 1
    for second in range(needed - 1, len(evidence)):
        lasting = evidence[second - needed + 1 : second + 1]
        if all(exceeded(each, RULES.emergency) for each in lasting):
            assert seen[second] is Level.EMERGENCY
        elif all(exceeded(each, RULES.reduced) for each in lasting):
            assert seen[second] >= Level.REDUCED


@given(st.lists(st.sampled_from([CALM, BUSY, FULL, None]), max_size=200))
def test_levels_do_not_flap(evidence: list[Evidence | None]) -> None:
    """However the load jumps, a level that became better had lasted as long as calm must last."""
    since, level = 0, Level.NORMAL
    for second, after in enumerate(levels(evidence)):
        if after is level:
            continue
        if after < level:
            assert second - since >= RULES.up_after_s
        since, level = second, after


def test_tiers_are_judged_apart() -> None:
    """A flood of the lowest does not degrade those above; one that nobody asked for is idle."""
    states = {"free": TierState(), "pro": TierState(), "enterprise": TierState()}
    for second in range(10):
        states = advance_all(states, {"free": FULL, "pro": CALM}, RULES, 1.0, float(second))

    assert [state.level for state in states.values()] == [Level.EMERGENCY, Level.NORMAL, Level.NORMAL]
    assert advance_all(states, None, RULES, 1.0, 11.0) == states
