"""Deciding by words: what matches, how sure it is, and that nothing can be blown up."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy.logical import LogicalStage
from trunkline_policy.model import RoutingPolicy
from trunkline_policy.results import NOTHING, Candidate


def policy(language: str = "english", /, **collections: Any) -> RoutingPolicy:
    return RoutingPolicy(version=2, language=language, collections=collections)


def decide(text: str, language: str = "english", /, **collections: Any) -> tuple[Candidate, ...]:
    return LogicalStage(policy(language, **collections)).decide(text).candidates


def weighed(weight: float) -> dict[str, Any]:
    return {"keywords": [{"text": "w", "weight": weight}]}


@pytest.mark.parametrize(
    ("keyword", "text", "matches"),
    [
        ("leak", "a LEAK", True),
        ("leak", "leaks", True),
        ("leaks", "it is leaking", True),
        ("leak", "bleak", False),
        ("leak", "memory_leak", False),
        ("leak", "leak2", False),
        ("leak", "(leak)?", True),
        ("memory leak", "memory  \n leaks here", True),
        ("memory leak", "memory, leak", False),
        ("memory leak", "memory of a leak", False),
        ("on-call", "who is on call?", True),
        ("on call", "the on-call rota", True),
        ("c++", "C++, please", True),
        ("c++", "c++ is fast", True),
        (".net", "I use .NET", True),
        (".net", "It broke. Net loss", False),
        ("a.b", "axb", False),
        ("übung", "U\u0308BUNG macht", True),
        ("питон", "как работает Питон?", True),
        ("हिन", "हिन्दी", False),
        ("日本", "私は日本語を話す", True),
        ("日本", "本日", False),
        ("👩‍💻", "a 👩‍💻 works", True),
        ("nul", "a\0nul\0", True),
        ("?", "why?", True),
    ],
)
def test_keywords_are_whole_words_without_their_endings(keyword: str, text: str, *, matches: bool) -> None:
    """Scripts without spaces are the exception: there a keyword stands anywhere in a line."""
    assert bool(decide(text, a={"keywords": [keyword]})) is matches


def test_without_a_language_endings_matter() -> None:
    """`language: none` compares words as they are written."""
    assert not decide("leaks", "none", a={"keywords": ["leak"]})


def test_one_keyword_alone_is_as_sure_as_the_default_threshold() -> None:
    """A pattern surer, two keywords surer still, none of them certain."""
    assert decide("leak", a={"keywords": ["leak"]})[0].confidence == pytest.approx(0.8)
    assert decide("leak", a={"patterns": ["le[ae]k"]})[0].confidence == pytest.approx(0.9106, abs=1e-4)
    assert decide("leak heap", a={"keywords": ["leak", "heap"]})[0].confidence == pytest.approx(0.96)


def test_saying_it_louder_is_no_more_evidence() -> None:
    """A repeated keyword, or two keywords of one stem, count once."""
    assert decide("leak leaks leak", a={"keywords": ["leak", "leaks"]})[0].confidence == pytest.approx(0.8)


def test_collections_that_match_equally_are_each_less_sure() -> None:
    """Their confidences are shares of one whole; ties by name."""
    found = decide("leak", b={"keywords": ["leak"]}, a={"keywords": ["leak"]})
    assert [(one.name, round(one.confidence, 3)) for one in found] == [("a", 0.444), ("b", 0.444)]


def test_words_can_speak_against_a_collection() -> None:
    """What has as much against it as for it is not proposed."""
    rules = {"keywords": ["jaguar", {"text": "car", "weight": -0.5}, {"text": "engine", "weight": -1}]}
    assert 0 < decide("jaguar car", animals=rules)[0].confidence < 0.8
    assert not decide("jaguar engine", animals=rules)


def test_a_function_word_decides_nothing_alone() -> None:
    """Lint warns of it; if nobody listens, `the` must not draw every query."""
    assert decide("the meaning of it", a={"keywords": ["the"]})[0].confidence < 0.4
    assert decide("die", "none", a={"keywords": ["die"]})[0].confidence == pytest.approx(0.8)


def test_reasons_quote_the_policy_never_the_query() -> None:
    """They go into trails and may be shown to others than who asked."""
    found = decide("my card 4111111111111111 LEAKED", a={"patterns": [r"card \d+"], "keywords": ["leaks"]})
    assert found[0].reason == r"a: keyword 'leaks', pattern 'card \d+'"


@pytest.mark.parametrize("text", ["", " ", "?!...", "\0", "\u0301\u0302", "🙂" * 50, "x" * 4096, "日本" * 700])
def test_texts_without_any_word_of_the_policy_decide_nothing(text: str) -> None:
    """Nothing is found, nothing fails."""
    assert LogicalStage(policy(a={"keywords": ["leak"], "patterns": ["leak"]})).decide(text) == NOTHING


def test_at_most_64_collections_are_proposed() -> None:
    """A keyword that stands in every collection says nothing about any of them."""
    many: dict[str, Any] = {f"c{number:04}": {"keywords": ["same"]} for number in range(1000)}
    found = decide("same", **many)
    assert len(found) == 64
    assert found[0].confidence < 0.01


def test_long_texts_and_large_policies_take_bounded_time() -> None:
    """The longest texts against 1,000 collections of repetitive keywords."""
    many: dict[str, Any] = {f"c{number}": {"keywords": [("a " * (number % 32 + 1)).strip()]} for number in range(1000)}
    stage = LogicalStage(policy(**many))
    began_s = time.process_time()
    for text in ("a " * 2048, "?" * 4096, "a" * 4096, "日" * 1365):
        stage.decide(text)
    assert time.process_time() - began_s < 5.0


@given(mine=st.floats(0.1, 5), more=st.floats(0, 5), rival=st.floats(-2, 5), rival_more=st.floats(0, 5))
def test_confidence_grows_with_own_weight_and_falls_with_others(
    mine: float, more: float, rival: float, rival_more: float
) -> None:
    """The law of the formula, in both directions."""

    def sure(own: float, other: float) -> float:
        found = {one.name: one.confidence for one in decide("w", a=weighed(own), b=weighed(other))}
        return found.get("a", 0.0)

    assert sure(mine, rival) <= sure(mine + more, rival)
    assert sure(mine, rival) >= sure(mine, rival + rival_more)
    assert 0 <= sure(mine, rival) <= 1


TARGET = st.fixed_dictionaries(
    {
        "keywords": st.lists(
            st.fixed_dictionaries(
                {"text": st.sampled_from(["ab", "cd", "ab cd", "the", "é"]), "weight": st.floats(-3, 3)}
            ),
            max_size=4,
        ),
        "patterns": st.lists(st.sampled_from(["a", "b+", "^c", "d$"]), max_size=2),
    }
)


@given(
    collections=st.dictionaries(st.sampled_from("pqrst"), TARGET, min_size=1),
    text=st.text("abcdé t", max_size=20),
    shuffled=st.randoms(use_true_random=False),
)
def test_the_order_of_collections_does_not_matter(collections: dict[str, Any], text: str, shuffled: Any) -> None:
    """Not in the last digit; and all confidences are parts of one."""
    items = list(collections.items())
    found = decide(text, **collections)
    shuffled.shuffle(items)
    assert decide(text, **dict(items)) == found
    assert sum(one.confidence for one in found) <= 1 + 1e-9
    assert [(-one.confidence, one.name) for one in found] == sorted((-one.confidence, one.name) for one in found)


@given(st.lists(st.text(min_size=1, max_size=64), min_size=1, max_size=20), st.text(max_size=200))
def test_any_keyword_is_only_a_word(words: list[str], text: str) -> None:
    """Whatever signs it holds it is no expression, and it is found in itself."""
    stage = LogicalStage(policy(a={"keywords": words}))
    stage.decide(text)
    for word in words:
        if any(letter.isascii() and letter.isalnum() for letter in word):
            assert stage.decide(word).candidates, word
