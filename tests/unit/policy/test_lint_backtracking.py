"""Patterns that other engines would blow up on are told by their structure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy.lint_backtracking import backtracks


@pytest.mark.parametrize(
    "regex",
    [
        "(a+)+$", "(a*)*", "(?:a+)*b", "((a+)b?)+", "(a|a)+", "(ab|ac)*", "(\\d|\\d\\d)+", "([a-z]+)*", "(x+x+)+y",
        "(a{2,})+", "(?P<n>a+)+", "(a+){3,}", "(.*)*", "(?i:a+)+", "((ab)+|c)*",
    ],
)  # fmt: skip
def test_repetitions_of_what_is_ambiguous_are_found(regex: str) -> None:
    """A repetition within a repetition, or alternatives that begin alike."""
    assert backtracks(regex)


@pytest.mark.parametrize(
    "regex",
    [
        "a+", "(abc)+", "(a|b)+", "(a+)", "(a+)?", "a+b+", "(a+){2}", "(a+){2,3}", "\\(a+\\)+", "[(a+)]+", "[)(+]+",
        "(\\+)+", "[]a+]+", "[^]+]+", "[[:alpha:]+]*", "(a+)b+", "^\\bINV-\\d+$", "", "a{3}", ")+", "(", "[",
    ],
)  # fmt: skip
def test_other_patterns_are_not(regex: str) -> None:
    """Signs in classes and escaped ones are no structure; what is no pattern at all is no matter of lint's."""
    assert not backtracks(regex)


@given(st.text("ab()[]{}*+?|\\^$.,0123:<>P-i", max_size=60))
def test_any_text_is_looked_at(regex: str) -> None:
    """Patterns come from tenants."""
    assert backtracks(regex) in {True, False}
