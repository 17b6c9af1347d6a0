"""Page tokens go round unharmed, and nothing else passes for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_mesh.errors import FieldInvalid
from trunkline_routing.control.paging import MAX_PAGE_TOKEN_BYTES, PageToken, decode, encode, parse_page

LONGEST_KEY = b"/trunkline/v1/collections/" + b"a" * 63 + b"/" + b"b" * 63


@given(st.integers(1, 2**63 - 1), st.binary(min_size=1, max_size=160), st.binary(min_size=8, max_size=8))
def test_a_page_token_gives_back_its_place(revision: int, after_key: bytes, epoch: bytes) -> None:
    """Encoding and decoding is the identity."""
    token = PageToken(revision, after_key, epoch)

    assert decode(encode(token)) == token


def test_the_longest_token_is_within_the_contract() -> None:
    """A client may send back every token that it was given."""
    assert len(encode(PageToken(2**63 - 1, LONGEST_KEY, b"12345678"))) <= MAX_PAGE_TOKEN_BYTES


@given(st.text(max_size=600))
def test_any_text_is_a_token_or_a_refused_field(text: str) -> None:
    """Garbage never becomes an internal error."""
    try:
        page = parse_page(0, text)
    except FieldInvalid:
        return
    assert page.size == 100


@pytest.mark.parametrize("size", [-1, 501, 2**31 - 1])
def test_page_sizes_beyond_the_bounds_are_refused(size: int) -> None:
    """A page is bounded work."""
    with pytest.raises(FieldInvalid):
        parse_page(size, "")


@pytest.mark.parametrize(("asked", "given_"), [(0, 100), (1, 1), (500, 500)])
def test_page_sizes_within_the_bounds_pass(asked: int, given_: int) -> None:
    """Zero means the default."""
    assert parse_page(asked, "").size == given_
