"""All patterns at once: found like one by one, in bounded time and memory."""

from __future__ import annotations

import concurrent.futures
import random
import time

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy.patterns import MAX_WORK, MIN_TEXT_BYTES, PatternSet

HEAVY = [rf"(x|a|{chr(98 + number % 20)})*a(x|a){{{20 + number % 30}}}q{number}" for number in range(128)]


@given(
    patterns=st.lists(st.sampled_from(["a+b", "^c", "d$", r"\bab\b", "x?", "[^a]", r"é\d"]), unique=True),
    text=st.text("abcdé1 ", max_size=30),
)
def test_together_they_match_what_each_matches(patterns: list[str], text: str) -> None:
    """The automaton is only a quicker way."""
    alone = [index for index, pattern in enumerate(patterns) if re2.search(pattern, text) is not None]
    assert PatternSet(patterns).match(text) == alone


def test_when_the_automaton_has_no_memory_each_is_tried_alone() -> None:
    """RE2 then reports that nothing matches, not that it gave up."""
    patterns = PatternSet(["a", "b", "c"])
    exhausted = re2.Set.SearchSet()
    exhausted.Add("never")
    exhausted.Compile()
    patterns._all = exhausted
    assert patterns.match("a c") == [0, 2]


@pytest.mark.parametrize("wrong", ["(", "(?<=a)b", r"(a)\1", "((a{50}){50}){50}"])
def test_what_is_no_pattern_or_too_large_is_refused(wrong: str) -> None:
    """As ValueError, with nothing of it in the message."""
    with pytest.raises(ValueError, match="RE2") as caught:
        PatternSet(["fine", wrong])
    assert wrong not in str(caught.value)


def test_very_large_patterns_look_at_less_of_a_text() -> None:
    """So that the work for one query is bounded; those of people see all of it."""
    heavy = PatternSet(HEAVY)
    assert MIN_TEXT_BYTES <= heavy.text_bytes < 4096
    assert heavy.text_bytes * sum(one.programsize for one in heavy._single) <= MAX_WORK
    assert PatternSet([rf"\bitm{number}-\d+\b" for number in range(64)]).text_bytes >= 4096


@pytest.mark.parametrize("patterns", [[r"(a+)+$"], [r"(a|aa)+b"], [r"(.*)*x"], HEAVY])
def test_a_catastrophic_pattern_takes_time_in_proportion_to_the_text(patterns: list[str]) -> None:
    """With a backtracking engine the sun would set first."""
    compiled, chosen = PatternSet(patterns), random.Random(1)
    texts = ["a" * 4095 + "!", "".join(chosen.choice("xa") for _ in range(4096))]
    began_s = time.process_time()
    for text in texts:
        compiled.match(text)
    assert time.process_time() - began_s < 5.0


def test_several_threads_may_match_at_once() -> None:
    """One automaton, which RE2 guards."""
    compiled = PatternSet([r"x\d", r"y\d+z", "w"])
    texts = [f"x{number} y{number}z" if number % 2 else "w" for number in range(200)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(compiled.match, texts)) == [[0, 1] if number % 2 else [2] for number in range(200)]
