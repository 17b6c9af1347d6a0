"""Words of texts in any script, and what two spellings have in common."""

from __future__ import annotations

import concurrent.futures

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy.normal import normalise
from trunkline_policy.phrases import PhraseTrie
from trunkline_policy.words import MAX_WORDS, Words


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  How\tDO\n I ", "how do i"),
        ("ÜBUNG", "übung"),
        ("U\u0308BUNG", "übung"),
        ("Straße", "strasse"),
        ("ﬁle", "file"),
        ("\uff21\uff22\uff23", "abc"),
        ("\u00a0x\u2003y", "x y"),
        ("", ""),
        ("\0", "\0"),
    ],
)
def test_spellings_of_the_same_are_the_same(text: str, normal: str) -> None:
    """Case, compatibility forms, composed or not, and white space make no difference."""
    assert normalise(text) == normal


@given(st.text(max_size=100))
def test_what_is_normal_stays_as_it_is(text: str) -> None:
    """Normalising is done once or twice with the same result."""
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("memory leaks, leaking", ["memori", "leak", ", ", "leak"]),
        ("on-call rota", ["on", "call", "rota"]),
        ("c++ and .net", ["c", "+", "+ ", "and", ".", "net"]),
        ("snake_case", ["snake_cas"]),
        ("日本語", ["日", "本", "語"]),
        ("हिन्दी", ["हिन्दी"]),
        ("ไทย", ["ไ", "ท", "ย"]),
        ("?!", ["?", "!"]),
        ("", []),
    ],
)
def test_texts_fall_into_stems_and_signs(text: str, words: list[str]) -> None:
    """Marks belong to letters; scripts without spaces are split into letters; hyphens between words are spaces."""
    assert Words("english").of(normalise(text)) == words


def test_without_a_language_words_stay_as_they_are() -> None:
    """`none` takes no endings off."""
    assert Words("none").of("memory leaks") == ["memory", "leaks"]


def test_an_unknown_language_is_refused() -> None:
    """Not silently taken for another."""
    with pytest.raises(ValueError, match="stemmer"):
        Words("klingon")


@pytest.mark.parametrize("text", ["a " * 3000, "?" * 4096, "日" * 4096, "x" * 4096, "\u0301" * 4096, "👩‍💻" * 1000])
def test_words_are_bounded_and_a_very_long_one_stays_whole(text: str) -> None:
    """Whatever is sent."""
    words = Words("english").of(normalise(text))
    assert len(words) <= MAX_WORDS
    assert all(word.strip() for word in words)


def test_several_threads_may_split_at_once() -> None:
    """Each has a stemmer of its own."""
    words, texts = Words("english"), [f"running leaks number{index}" for index in range(50)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(words.of, texts)) == [Words("english").of(text) for text in texts]


@given(
    phrases=st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), max_size=8),
    words=st.lists(st.sampled_from("abcd"), max_size=12),
)
def test_the_trie_finds_what_stands_in_the_words(phrases: list[list[str]], words: list[str]) -> None:
    """Exactly the phrases that are a run of the words."""
    numbers = {tuple(phrase): number for number, phrase in enumerate(phrases)}
    runs = {tuple(words[start:end]) for start in range(len(words)) for end in range(start + 1, len(words) + 1)}
    assert PhraseTrie(numbers.items()).find(words) == {n for phrase, n in numbers.items() if phrase in runs}
