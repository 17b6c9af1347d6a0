"""Differences that may be chance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trunkline_policy.significance import fisher, sign_test, wilson

PAIRS = st.integers(0, 200).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count)))


@given(PAIRS, PAIRS)
def test_fishers_test_is_scipys(first: tuple[int, int], second: tuple[int, int]) -> None:
    """For every small table."""
    table = [[first[0], first[1] - first[0]], [second[0], second[1] - second[0]]]

    assert fisher(*first, *second) == pytest.approx(stats.fisher_exact(table)[1], abs=1e-6)


@given(PAIRS)
def test_wilsons_interval_is_scipys_and_holds_the_share(pair: tuple[int, int]) -> None:
    """It lies within 0 to 1."""
    low, high = wilson(*pair)

    assert 0.0 <= low <= high <= 1.0
    if pair[1]:
        expected = stats.binomtest(*pair).proportion_ci(method="wilson")
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
        assert low <= pair[0] / pair[1] <= high


@given(st.integers(0, 100), st.integers(0, 100))
def test_the_sign_test_is_scipys(better: int, worse: int) -> None:
    """Of even odds."""
    expected = stats.binomtest(better, better + worse).pvalue if better + worse else 1.0

    assert sign_test(better, worse) == pytest.approx(expected, abs=1e-9)


def test_large_tables_are_exact_enough() -> None:
    """A million trials are no trouble."""
    assert fisher(500_000, 1_000_000, 500_000, 1_000_000) == pytest.approx(1.0)
    assert fisher(510_000, 1_000_000, 500_000, 1_000_000) < 1e-40


@pytest.mark.parametrize("counts", [(-1, 5), (6, 5), (1, 20_000_000)])
def test_impossible_counts_are_refused(counts: tuple[int, int]) -> None:
    """Rather than answered."""
    with pytest.raises(ValueError, match="successes"):
        wilson(*counts)
