"""Decision ids: what they hold, and for whom they open."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_mesh.errors import DecisionUnknown
from trunkline_routing.edge.receipts import (
    LIFETIME_S,
    MAX_ID_CHARS,
    Receipt,
    Receipts,
    read_key,
    text_digest,
)

KEY = bytes(range(32))
NOW_S = 1_800_000_000.0


def receipts(key: bytes = KEY, now_s: float = NOW_S) -> Receipts:
    return Receipts(key, lambda: now_s)


def receipt(
    *, collections: tuple[str, ...] = ("files",), assignments: tuple[tuple[str, str, bool], ...] = ()
) -> Receipt:
    return Receipt(
        tenant_id="acme",
        at_s=NOW_S,
        policy_version=7,
        policy_digest="ab" * 32,
        strategy=trail_pb.STRATEGY_RULES,
        collections=collections,
        text_digest=text_digest("where are my files"),
        assignments=assignments,
    )


_names = st.from_regex(r"[a-z0-9-]{1,63}", fullmatch=True)
_arms = st.tuples(_names, st.sampled_from(["control", "variant"]), st.booleans())


@given(st.lists(_names, max_size=64, unique=True), st.lists(_arms, max_size=9))
def test_an_id_is_short_and_holds_the_surest(names: list[str], arms: list[tuple[str, str, bool]]) -> None:
    """However many collections were chosen: the first always, of the others and of comparisons what fits, in order."""
    given_ = receipt(collections=tuple(names), assignments=tuple(arms))

    sealed = receipts().seal(given_)
    opened = receipts().open(sealed, "acme")

    assert len(sealed) <= MAX_ID_CHARS
    assert opened.collections[:1] == given_.collections[:1]
    assert opened.collections == given_.collections[: len(opened.collections)]
    assert opened.assignments == given_.assignments[: len(opened.assignments)]
    rest = replace(opened, collections=given_.collections, assignments=given_.assignments, nonce=b"")
    assert rest == given_


def test_what_usually_is_decided_fits_whole() -> None:
    """Two collections and three comparisons of usual names."""
    whole = receipt(
        collections=("handbook", "quarterly-reports"),
        assignments=(
            ("hybrid-or-semantic", "variant", False),
            ("margin", "control", True),
            ("r" * 32, "variant", True),
        ),
    )

    opened = receipts().open(receipts().seal(whole), "acme")

    assert replace(opened, nonce=b"") == whole


def test_each_decision_has_a_name_of_its_own() -> None:
    """The same decision twice is two: feedback on one says nothing of the other."""
    first, second = (receipts().open(receipts().seal(receipt()), "acme") for _ in range(2))

    assert len(first.nonce) == 12
    assert first.nonce != second.nonce


@given(st.integers(min_value=0), st.integers(1, 255))
def test_a_changed_id_does_not_open(place: int, change: int) -> None:
    """Whichever byte it is: version, day, nonce, content or tag."""
    sealed = receipts().seal(receipt())
    raw = bytearray(base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4)))
    raw[place % len(raw)] ^= change

    with pytest.raises(DecisionUnknown):
        receipts().open(base64.urlsafe_b64encode(raw).rstrip(b"=").decode(), "acme")


@given(st.text(max_size=600))
def test_anything_else_is_no_id(text: str) -> None:
    """Whatever callers send is refused in the same way."""
    with pytest.raises(DecisionUnknown):
        receipts().open(text, "acme")


def test_another_tenant_s_id_does_not_open() -> None:
    """An id tells nothing to those whom it does not concern."""
    with pytest.raises(DecisionUnknown):
        receipts().open(receipts().seal(receipt()), "birch")


def test_another_key_does_not_open() -> None:
    """A router without the jurisdiction's key knows nothing of its decisions."""
    with pytest.raises(DecisionUnknown):
        receipts(bytes(32)).open(receipts().seal(receipt()), "acme")


@pytest.mark.parametrize(("age_s", "opens"), [(0.0, True), (LIFETIME_S - 1, True), (LIFETIME_S + 1, False)])
def test_an_id_is_good_for_seven_days(age_s: float, opens: bool) -> None:
    """And not a moment longer, whatever the hour of the day."""
    sealed = receipts().seal(receipt())
    later = receipts(now_s=NOW_S + age_s)

    if opens:
        assert later.open(sealed, "acme").collections == ("files",)
    else:
        with pytest.raises(DecisionUnknown):
            later.open(sealed, "acme")


def test_an_id_opens_at_a_router_whose_clock_is_behind() -> None:
    """Also where midnight lies between the two clocks."""
    midnight_s = NOW_S - NOW_S % 86_400
    sealed = receipts().seal(replace(receipt(), at_s=midnight_s + 1))

    assert receipts(now_s=midnight_s - 60).open(sealed, "acme").at_s == midnight_s + 1


def test_callers_have_stable_names_that_tell_nothing() -> None:
    """The same at every router with the key, another one for another tenant, and none that could be guessed."""
    name = receipts().caller_of("acme", "ann")

    assert name == receipts().caller_of("acme", "ann")
    assert name not in {
        receipts().caller_of("birch", "ann"),
        receipts().caller_of("acme", "bob"),
        receipts(bytes(32)).caller_of("acme", "ann"),
    }
    assert "ann" not in name


def test_a_key_comes_from_its_file_or_from_nowhere(tmp_path: Path) -> None:
    """Its bytes as they are; without a file each process has one of its own; a short one is refused."""
    path = tmp_path / "key"
    path.write_bytes(KEY)
    assert read_key(path) == KEY
    assert read_key(None) != read_key(None)
    path.write_bytes(KEY[:31])
    with pytest.raises(ValueError, match="32"):
        read_key(path)
    with pytest.raises(ValueError, match="32"):
        Receipts(KEY[:31])
