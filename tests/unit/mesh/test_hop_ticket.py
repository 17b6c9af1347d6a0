"""Hop tickets: whom they convince, of what, and for how long."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trunkline_mesh.hop_ticket import MAX_KEPT, SLOT_S, SLOTS_APART, HopTickets, keys_of

KEY, OTHER_KEY = "a-key-of-24-characters-a", "b-key-of-24-characters-b"
RANKS = st.integers(0, 9999)
NOW_S = 1_800_000_000.0


class Clock:
    """Unix time that a test sets."""

    def __init__(self, now_s: float = NOW_S) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def tickets(*keys: str, clock: Clock | None = None) -> HopTickets:
    return HopTickets(keys or (KEY,), clock or Clock())


@given(tenant=st.text(), rank=RANKS)
def test_who_has_the_key_is_believed(tenant: str, rank: int) -> None:
    """Another process with the same key accepts the ticket, for exactly this tenant and rank."""
    ticket = tickets().issue(tenant, rank)
    assert tickets().accepts(ticket, tenant, rank)


@given(told=st.tuples(st.text(), RANKS), claimed=st.tuples(st.text(), RANKS))
def test_a_ticket_is_of_one_tenant_and_one_rank(told: tuple[str, int], claimed: tuple[str, int]) -> None:
    """Neither another tenant's nor another rank's."""
    assume(told != claimed)
    assert not tickets().accepts(tickets().issue(*told), *claimed)


def test_digits_do_not_move_between_the_parts() -> None:
    """Tenant `a1` of rank 2 is not tenant `a` of rank 12."""
    assert not tickets().accepts(tickets().issue("a1", 2), "a", 12)


def test_another_key_convinces_nobody() -> None:
    """A ticket of a stranger, and a mac with one digit changed."""
    ticket = tickets().issue("acme", 2)
    forged = ticket[:-1] + ("0" if ticket[-1] != "0" else "1")
    assert not tickets(OTHER_KEY).accepts(ticket, "acme", 2)
    assert not tickets().accepts(forged, "acme", 2)


def test_keys_are_changed_without_a_gap() -> None:
    """The first key signs, all are accepted: add the new one behind, put it first, drop the old one."""
    steps = [(KEY,), (KEY, OTHER_KEY), (OTHER_KEY, KEY), (OTHER_KEY,)]
    for before, after in pairwise(steps):
        assert tickets(*after).accepts(tickets(*before).issue("acme", 1), "acme", 1)
        assert tickets(*before).accepts(tickets(*after).issue("acme", 1), "acme", 1)
    assert not tickets(*steps[-1]).accepts(tickets(*steps[0]).issue("acme", 1), "acme", 1)


def test_long_keys_count_in_full() -> None:
    """Beyond the 64 bytes that the hash itself takes."""
    first, second = "k" * 100 + "1", "k" * 100 + "2"
    assert tickets(first).accepts(tickets(first).issue("acme", 1), "acme", 1)
    assert not tickets(second).accepts(tickets(first).issue("acme", 1), "acme", 1)


@pytest.mark.parametrize("apart", range(-4, 5))
def test_a_ticket_ends(apart: int) -> None:
    """It holds while the clocks are within two half minutes, in both directions."""
    ticket = tickets().issue("acme", 1)
    theirs = tickets(clock=Clock(NOW_S + apart * SLOT_S))
    assert theirs.accepts(ticket, "acme", 1) is (abs(apart) <= SLOTS_APART)


def test_a_new_half_minute_makes_a_new_ticket() -> None:
    """The issuer's own do not grow old."""
    clock = Clock()
    ours = tickets(clock=clock)
    first = ours.issue("acme", 1)
    clock.now_s += SLOT_S * (SLOTS_APART + 1)
    assert ours.issue("acme", 1) != first
    assert ours.accepts(ours.issue("acme", 1), "acme", 1)
    assert not ours.accepts(first, "acme", 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        ".00",
        "1.zz",
        "-1." + "0" * 32,
        "0." + "0" * 32,
        "9" * 13 + "." + "0" * 32,
        "1." + "0" * 33,
        "\u0661." + "0" * 32,
    ],
)
def test_garbage_is_refused(text: str) -> None:
    """Whatever it is, without an exception."""
    assert not tickets().accepts(text, "acme", 1)


@given(st.text())
def test_any_text_is_refused(text: str) -> None:
    """Text that nobody made for this convinces nobody."""
    assert not tickets().accepts(text, "acme", 1)


def test_what_is_kept_is_bounded() -> None:
    """By the number of tenants, and by the half minute; a right ticket stays right."""
    clock = Clock()
    ours = tickets(clock=clock)
    for number in range(MAX_KEPT + 10):
        ours.issue(f"tenant-{number}", 1)
        ours.accepts(tickets().issue("acme", 1), "acme", number)
    assert len(ours) <= MAX_KEPT
    assert ours.accepts(ours.issue("tenant-1", 1), "tenant-1", 1)
    clock.now_s += SLOT_S
    ours.issue("acme", 1)
    assert len(ours) == 1


def test_keys_are_a_list_in_a_text() -> None:
    """Separated by commas, spaces around them left out; none in an empty text."""
    assert keys_of("") == keys_of(" ") == ()
    assert keys_of(f"{KEY}, {OTHER_KEY}") == (KEY, OTHER_KEY)


@pytest.mark.parametrize("text", ["short", f"{KEY},", f"{KEY},short", ",".join([KEY] * 9)])
def test_weak_keys_are_refused(text: str) -> None:
    """Without a word of what they are."""
    with pytest.raises(ValueError, match="16 characters") as caught:
        keys_of(text)
    assert text not in str(caught.value)


def test_there_are_no_tickets_without_a_key() -> None:
    """Anybody could make those."""
    with pytest.raises(ValueError, match="key"):
        HopTickets(())
