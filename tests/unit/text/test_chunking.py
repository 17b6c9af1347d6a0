"""Chunks follow the structure, keep every word and their bounds."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_text import ChunkPolicy, Page, Section, chunk_page
from trunkline_text.chunking import split_blocks
from trunkline_text.identifiers import MAX_ID_CHARS, document_id

_SMALL = ChunkPolicy(target_chars=60, max_chars=100, overlap_chars=15)
_NO_OVERLAP = ChunkPolicy(target_chars=60, max_chars=70, overlap_chars=0)
_blocks = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1, max_size=300), max_size=8)


def _words(text: str) -> str:
    return re.sub(r"\s+", "", text)


@given(_blocks)
def test_nothing_but_white_space_is_lost(blocks: list[str]) -> None:
    """Without overlap the chunks hold every character of the blocks, once and in order."""
    assert _words("".join(blocks)) == _words("".join(split_blocks(blocks, _NO_OVERLAP)))


@given(_blocks)
def test_no_chunk_is_longer_than_the_bound(blocks: list[str]) -> None:
    """The maximum holds with overlap, also for text without any place to cut."""
    assert all(len(body) <= _SMALL.max_chars for body in split_blocks(blocks, _SMALL))


@given(_blocks)
def test_chunking_is_deterministic(blocks: list[str]) -> None:
    """The same page gives the same chunks with the same, distinct ids."""
    page = Page("a.md", "A", (Section(("A", "B"), tuple(blocks)), Section(("A", "B"), tuple(blocks))))

    first, second = chunk_page(page, _SMALL), chunk_page(page, _SMALL)

    assert first == second
    assert len({chunk.document_id for chunk in first}) == len(first)


def test_blocks_are_joined_up_to_the_target_and_not_across_sections() -> None:
    """Small paragraphs share a chunk; a new section begins a new one."""
    page = Page("a.md", "A", (Section(("A",), ("one", "two")), Section(("A", "B"), ("three",))))

    chunks = chunk_page(page)

    assert [chunk.text for chunk in chunks] == ["A\n\none\n\ntwo", "B\n\nthree"]
    assert [chunk.section for chunk in chunks] == ["", "B"]
    assert [chunk.title for chunk in chunks] == ["A", "A"]


def test_a_long_block_is_cut_between_sentences_and_overlaps() -> None:
    """Cuts fall behind a sentence, and the next chunk repeats the end of the one before."""
    text = "The first sentence stands here alone. The second one is here. A third follows at once."

    first, second = split_blocks([text], ChunkPolicy(target_chars=70, max_chars=120, overlap_chars=30))

    assert first == "The first sentence stands here alone. The second one is here."
    assert second == "The second one is here. A third follows at once."


def test_code_is_cut_between_lines() -> None:
    """A code block keeps its lines whole and their indentation."""
    code = "\n".join(f"    line_{index} = {index}" for index in range(12))

    bodies = split_blocks([code], _NO_OVERLAP)

    assert all(line.startswith("    line_") for body in bodies for line in body.split("\n"))


@pytest.mark.parametrize(
    "bad",
    [
        {"target_chars": 0},
        {"overlap_chars": 900},
        {"overlap_chars": -1},
        {"max_chars": 901},
    ],
)
def test_impossible_sizes_are_refused(bad: dict[str, int]) -> None:
    """Sizes that contradict each other are a mistake of the program."""
    with pytest.raises(ValueError, match="chars"):
        ChunkPolicy(**bad)


_source = st.text(st.characters(codec="utf-8"), min_size=1, max_size=200)


@given(_source, st.lists(_source, max_size=3), st.integers(1, 10_000))
def test_every_id_fits_the_contract(source: str, headings: list[str], ordinal: int) -> None:
    """Whatever the path and the headings, the id is of the allowed characters and length."""
    found = document_id(source, tuple(headings), ordinal)

    assert re.fullmatch(r"[A-Za-z0-9_.:/#-]{1,128}", found)
    assert len(found) <= MAX_ID_CHARS


@given(st.lists(st.tuples(_source, st.lists(_source, max_size=2).map(tuple)), unique=True, max_size=20))
def test_different_places_have_different_ids(places: list[tuple[str, tuple[str, ...]]]) -> None:
    """Replacing characters and cutting lengths never makes two places one."""
    assert len({document_id(source, headings, 1) for source, headings in places}) == len(places)


def test_ids_are_readable() -> None:
    """A plain path and heading can be read in the id."""
    assert document_id("guide/setup.md", (), 1) == "guide/setup.md:1"
    assert document_id("guide/setup.md", ("install",), 2) == "guide/setup.md#install:2"
    assert document_id("guide/setup.md", ("Setup", "Install it!"), 2).startswith("guide/setup.md#install-it-")
