"""Rules: whole words, phrases, signs, scripts, and time that grows with the text alone."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_routing.edge.policy_text import RoutingPolicy
from trunkline_routing.edge.rules import KEYWORD_CONFIDENCE, MORE_MATCHES, PATTERN_CONFIDENCE, RuleMatch, Rules


def rules(_most: int = 3, /, **collections: Any) -> Rules:
    given: dict[str, Any] = {"version": 1, "max_collections": _most, "collections": collections}
    return Rules(RoutingPolicy(**given))


def keyword_matches(keyword: str, text: str) -> bool:
    return bool(rules(a={"keywords": [keyword]}).match(text))


@pytest.mark.parametrize(
    ("keyword", "text", "matches"),
    [
        ("leak", "a leak", True),
        ("leak", "leak", True),
        ("leak", "leaks", False),
        ("leak", "bleak", False),
        ("leak", "memory_leak", False),
        ("leak", "leak2", False),
        ("leak", "(leak)", True),
        ("leak", "leak?", True),
        ("LEAK", "Leak!", True),
        ("memory leak", "a memory leak here", True),
        ("memory leak", "memory  \n leak", True),
        ("memory  leak", "memory leak", True),
        ("memory leak", "memory of a leak", False),
        ("c++", "is c++ fast", True),
        ("c++", "c++", True),
        ("c++", "C++, please", True),
        ("c", "is c++ fast", True),
        (".net", "I use .NET", True),
        ("a.b", "axb", False),
        ("übung", "ÜBUNG macht", True),
        ("übung", "Vorübung", False),
        ("naïve", "so NAÏVE", True),
        ("питон", "как работает Питон?", True),
        ("питон", "питона", False),
        ("हिन", "हिन्दी", False),
        ("日本", "日本 語", True),
        ("日本", "日本語", False),
    ],
)
def test_keywords_are_whole_words(keyword: str, text: str, *, matches: bool) -> None:
    """Case does not matter; letters, marks, digits and `_` of any script make words longer."""
    assert keyword_matches(keyword, text) is matches


def test_neighbouring_keywords_are_all_found() -> None:
    """One sign may end one keyword and begin the next."""
    [match] = rules(a={"keywords": ["async", "threading", "gil"]}).match("async threading,GIL")
    assert match.confidence == pytest.approx(KEYWORD_CONFIDENCE + 2 * MORE_MATCHES)
    assert match.reason == "a: keyword 'async', keyword 'gil', keyword 'threading'"


def test_a_repeated_keyword_counts_once() -> None:
    """Saying it louder is no more evidence."""
    [match] = rules(a={"keywords": ["leak"]}).match("leak leak leak")
    assert match.confidence == KEYWORD_CONFIDENCE


def test_patterns_are_surer_than_keywords() -> None:
    """Their author took more care."""
    found = rules(a={"keywords": ["leak"]}, b={"patterns": [r"\bleak(s|ed)?\b"]}).match("a leak")
    assert [(one.collection, one.confidence) for one in found] == [("b", PATTERN_CONFIDENCE), ("a", KEYWORD_CONFIDENCE)]


def test_confidence_is_at_most_one() -> None:
    """However much matches."""
    words = [f"w{number}" for number in range(20)]
    [match] = rules(a={"keywords": words, "patterns": ["w1", "w2"]}).match(" ".join(words))
    assert match.confidence == 1.0


def test_the_surest_come_first_and_no_more_than_allowed() -> None:
    """Ties by name."""
    found = rules(2, c={"keywords": ["x"]}, b={"keywords": ["x"]}, a={"keywords": ["x"]}).match("x")
    assert [one.collection for one in found] == ["a", "b"]


def test_reasons_quote_the_policy_never_the_query() -> None:
    """They go into trails and may be shown to others than who asked."""
    [match] = rules(a={"patterns": [r"card \d+"]}).match("my card 4111111111111111")
    assert match.reason == r"a: pattern 'card \d+'"


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|aa)+b", r"(.*)*x", r"(a?){60}a{60}"])
def test_a_catastrophic_pattern_takes_time_in_proportion_to_the_text(pattern: str) -> None:
    """With a backtracking engine the sun would set first; here the longest query takes milliseconds."""
    compiled = rules(a={"patterns": [pattern]})
    began_s = time.process_time()
    compiled.match("a" * 4095 + "!")
    assert time.process_time() - began_s < 5.0


def test_a_text_of_one_keyword_is_not_counted_for_ever() -> None:
    """The longest text of the shortest keyword, in as many collections as a policy may have."""
    collections: dict[str, Any] = {f"c{number}": {"keywords": ["a"]} for number in range(256)}
    compiled = rules(**collections)
    began_s = time.process_time()
    assert len(compiled.match("a " * 2048)) == 3
    assert time.process_time() - began_s < 10.0


@given(words=st.lists(st.text(min_size=1, max_size=64), min_size=1, max_size=40), text=st.text(max_size=200))
def test_any_keyword_is_only_a_word(words: list[str], text: str) -> None:
    """Whatever signs it holds, it is no expression: it compiles, and matches itself."""
    compiled = rules(a={"keywords": words})
    compiled.match(text)
    for word in words:
        plain = " ".join(word.split())
        if plain and plain.isascii():
            assert compiled.match(plain), word


@given(st.text(max_size=200))
def test_matching_is_a_function_of_text(text: str) -> None:
    """The same text, the same matches."""
    compiled = rules(a={"keywords": ["a", "b"], "patterns": ["c|d"]})
    found: list[RuleMatch] = compiled.match(text)
    assert compiled.match(text) == found
