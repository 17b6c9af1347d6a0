"""What feedback is worth."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.learner.world import correction

from trunkline_routing.learner.memories import even_share
from trunkline_routing.learner.split import held_back, split
from trunkline_routing.learner.trust import CALLER_FLOOR, CALLER_SHARE, Sample, caller_limit, tally, trusted


def _honest(count: int = 20) -> list:  # type: ignore[type-arg]  # of feedback records
    return [correction("acme", f"honest question {n}", "billing", caller=f"c{n % 10}") for n in range(count)]


def test_ten_thousand_corrections_of_one_caller_move_nothing() -> None:
    """What is learned of the others is the same with them and without; of the poison a handful is left at most."""
    poison = [correction("acme", f"poison {n}", "network", caller="mallory") for n in range(10_000)]
    clean, poisoned = trusted(_honest()), trusted(_honest() + poison)

    texts = {sample.text for sample in poisoned.samples}
    assert {sample.text for sample in clean.samples} <= texts
    assert len(texts) - len(clean.samples) <= CALLER_SHARE * len(texts)
    assert poisoned.distrusted_count >= 9_990


def test_one_caller_cannot_turn_what_others_say() -> None:
    """It has one vote on each query, however often it votes."""
    right = [correction("acme", "the question", "billing", caller=f"c{n}") for n in range(3)]
    wrong = [correction("acme", "the question", "network", caller="mallory", number=n) for n in range(1000)]
    [sample] = trusted(right + wrong).samples
    assert sample.right == ("billing",)


def test_contradictions_without_a_majority_are_left_out() -> None:
    """And counted."""
    said = [correction("acme", "q", where, caller=where) for where in ("billing", "network")]
    assert trusted(said).samples == ()
    assert trusted(said).distrusted_count == 2


def test_the_last_word_of_a_caller_counts() -> None:
    """However the query is written."""
    first = correction("acme", "Where is my invoice", "network", caller="c", at_s=1.0)
    last = correction("acme", "where is  my INVOICE", "billing", caller="c", at_s=2.0)
    assert trusted([last, first]).samples == (Sample("where is  my INVOICE", ("billing",)),)


def test_a_decision_that_was_right_is_a_sample_too() -> None:
    """Of its first choice."""
    said = correction("acme", "router broken", "", caller="c", success=True)
    assert trusted([said]).samples == (Sample("router broken", ("network",)),)
    assert trusted([correction("acme", "router broken", "", caller="c", success=False)]).samples == ()


def test_success_is_counted_by_decisions_and_bounded_by_caller() -> None:
    """One caller's praise does not make a policy good."""
    praise = [correction("acme", "q", "", caller="m", number=n, success=True) for n in range(1000)]
    others = [correction("acme", "q", "", caller=f"c{n}", success=False) for n in range(10)]
    told = tally(praise + others)
    assert (told.count, told.success_count) == (13, 3)


@given(st.lists(st.integers(0, 10_000), max_size=40))
def test_the_bound_is_the_largest_that_holds_for_all(counts: list[int]) -> None:
    """No caller has more than the larger of 3 samples and a fifth of what is kept."""
    limit = caller_limit(counts)

    def holds(bound: int) -> bool:
        return bound <= max(CALLER_FLOOR, CALLER_SHARE * sum(min(count, bound) for count in counts))

    assert holds(limit)
    assert limit >= max(counts, default=0) or not holds(limit + 1)


@given(st.text(min_size=1, max_size=60))
def test_a_query_is_held_back_however_it_is_written(text: str) -> None:
    """By a hash of its normalised form, so that what is learned is never measured."""
    assert held_back(text) == held_back(f"  {text} ")


def test_two_of_five_queries_are_held_back() -> None:
    """About so."""
    learned, kept = split([Sample(f"query {n}", ("billing",)) for n in range(1000)])
    assert len(learned) + len(kept) == 1000
    assert 330 < len(kept) < 470


@given(st.lists(st.integers(0, 10_000), max_size=30), st.integers(0, 20_000))
def test_a_flood_of_one_caller_pushes_nobody_else_out(counts: list[int], most: int) -> None:
    """Where more is kept than may be read, every caller keeps as many of its newest."""
    share = even_share(counts, most)
    assert sum(min(count, share) for count in counts) <= most
    assert share >= max(counts, default=0) or sum(min(count, share + 1) for count in counts) > most
