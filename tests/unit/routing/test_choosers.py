"""What is believed of outsiders."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trunkline_routing.edge.choosers import MAX_REASON_CHARS, believed, safe_reason

_words = st.text(alphabet="abc AB\n", max_size=40)


@given(_words, _words, _words)
def test_no_reason_carries_a_piece_of_the_query(query: str, before: str, behind: str) -> None:
    """Whatever stands around it, in whatever case and spacing."""
    line = safe_reason(f"{before}{query.upper()}{behind}", query)

    whole = " ".join(query.split()).casefold()
    pieces = [whole[at : at + 12] for at in range(max(1, len(whole) - 11))]
    assert not any(piece and piece in line.casefold() for piece in pieces)


@given(st.text(max_size=3_000), st.text(max_size=50))
def test_reasons_are_one_short_printable_line(reason: str, query: str) -> None:
    """So that they can stand in a trail and on a screen."""
    line = safe_reason(reason, query)

    assert len(line) <= MAX_REASON_CHARS
    assert not line or line.isprintable()


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", "x", ""]), st.floats(), st.text(max_size=20)), max_size=20),
    st.integers(0, 5),
)
def test_whatever_is_told_the_choice_is_sound(told: list[tuple[str, float, str]], limit: int) -> None:
    """Offered names alone, each once, surest first, probabilities, never too many."""
    found = believed(told, "some query", {"a", "b", "c"}, limit=limit)

    names = [one.name for one in found]
    assert len(names) <= limit
    assert len(set(names)) == len(names)
    assert set(names) <= {"a", "b", "c"}
    sure = [one.confidence for one in found]
    assert sure == sorted(sure, reverse=True)
    assert all(0 <= one <= 1 for one in sure)
