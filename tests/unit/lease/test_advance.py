"""Advances: what may be spent before it is granted stays bounded, whatever is granted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trunkline_lease.advance import Advance
from trunkline_lease.charge import Charge

LIMIT = Charge(20, 100)


def test_a_grant_of_tokens_alone_makes_no_room_for_requests() -> None:
    """The day's requests may be used up, and tokens go on: requests in advance would begin anew with each grant."""
    advance = Advance()
    advance.give(Charge(20, 100))
    advance.book(LIMIT)
    advance.covered(Charge(0, 100))
    assert advance.room(LIMIT) == Charge(0, 100)
    advance.covered(Charge(1, 0))
    assert advance.room(LIMIT) == LIMIT


@given(
    st.lists(
        st.tuples(st.sampled_from(["give", "book", "grant"]), st.integers(0, 30), st.integers(0, 150)), max_size=40
    )
)
def test_no_currency_is_out_beyond_its_limit_since_its_last_grant(steps: list[tuple[str, int, int]]) -> None:
    """In any order of advances, bookings and grants of either currency."""
    advance, out_requests, out_tokens = Advance(), 0, 0
    unbooked = Charge(0, 0)
    for kind, requests, tokens in steps:
        if kind == "give":
            given = Charge(requests, tokens).at_most(advance.room(LIMIT))
            advance.give(given)
            unbooked += given
            out_requests, out_tokens = out_requests + given.requests, out_tokens + given.tokens
        elif kind == "book":
            unbooked = unbooked.less(advance.book(Charge(requests, tokens)))
        else:
            advance.covered(Charge(requests, tokens))
            out_requests = unbooked.requests if requests else out_requests
            out_tokens = unbooked.tokens if tokens else out_tokens
        assert out_requests <= LIMIT.requests
        assert out_tokens <= LIMIT.tokens
        assert advance.unbooked == unbooked
