"""What comes back unused finds its lender: never more than was lent, and not for ever."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from trunkline_admission.lent_out import LentOut
from trunkline_admission.pool_share import Piece

MEMORY_S = 60.0
_lent = st.dictionaries(st.sampled_from(["low", "mid"]), st.integers(0, 50))
_steps = st.lists(st.tuples(st.floats(0, 40), st.one_of(_lent, st.integers(0, 80))), max_size=30)


@given(_steps)
def test_lenders_get_back_what_was_lent_and_no_more(steps: list[tuple[float, dict[str, int] | int]]) -> None:
    """Nothing is made or lost on the way, and what is out comes before a tier's own."""
    book, now_s = LentOut(MEMORY_S, 0.0), 0.0
    lent, back = Counter[str](), Counter[str]()
    recent: list[tuple[float, dict[str, int]]] = []
    for elapsed_s, step in steps:
        now_s += elapsed_s
        if isinstance(step, dict):
            book.granted(step, now_s)
            lent.update(step)
            recent.append((now_s, step))
            continue
        piece = book.returned(step, now_s)
        assert piece.total == step
        back.update(piece.lent)
        assert all(back[lender] <= lent[lender] for lender in back)
        out = sum(sum(given.values()) for at_s, given in recent if now_s - at_s < MEMORY_S) - back.total()
        assert sum(piece.lent.values()) >= min(step, out)


def test_what_comes_back_late_is_the_borrowers() -> None:
    """Nobody can tell any more whose it was."""
    book = LentOut(MEMORY_S, 0.0)
    book.granted({"low": 5}, 0.0)
    assert book.returned(2, 2 * MEMORY_S - 1) == Piece(0, {"low": 2})
    assert book.returned(2, 2 * MEMORY_S) == Piece(2)


def test_a_clock_that_goes_back_forgets_the_older_half() -> None:
    """It gives nobody anything twice."""
    book = LentOut(MEMORY_S, 1000.0)
    book.granted({"low": 5}, 1000.0)
    assert book.returned(9, 500.0).total == 9
    assert book.returned(9, 500.0) == Piece(9)
