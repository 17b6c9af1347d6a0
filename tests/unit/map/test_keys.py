"""Keys are parsed strictly and ranges cover exactly their folder."""

from __future__ import annotations

import pytest

from trunkline_map.keys import (
    CONTROL_PREFIX,
    EPOCH_KEY,
    PREFIX,
    Kind,
    MapKey,
    approval_key,
    folder,
    history_folder,
    history_key,
    history_of_kind,
    import_key,
    parse_history_key,
    prefix_end,
)

DOCS = MapKey(Kind.COLLECTION, "acme", "docs")


@pytest.mark.parametrize(
    ("key", "raw"),
    [
        (EPOCH_KEY, b"/trunkline/v1/epoch"),
        (MapKey(Kind.REGION, "eu-west"), b"/trunkline/v1/regions/eu-west"),
        (MapKey(Kind.TENANT, "acme"), b"/trunkline/v1/tenants/acme"),
        (MapKey(Kind.SPACE, "minilm"), b"/trunkline/v1/spaces/minilm"),
        (MapKey(Kind.POLICY, "acme"), b"/trunkline/v1/policies/acme"),
        (MapKey(Kind.COLLECTION, "acme", "docs"), b"/trunkline/v1/collections/acme/docs"),
    ],
)
def test_keys_are_as_the_design_says(key: MapKey, raw: bytes) -> None:
    """Encoding gives the documented key, parsing gives it back."""
    assert key.encode() == raw
    assert MapKey.parse(raw) == key


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"/other/v1/epoch",
        b"/trunkline/v1/",
        b"/trunkline/v1/epoch/x",
        b"/trunkline/v1/migrations/7",
        b"/trunkline/v1/regions/",
        b"/trunkline/v1/regions/a/b",
        b"/trunkline/v1/collections/acme",
        b"/trunkline/v1/collections//docs",
        b"/trunkline/v1/tenants/\xff",
    ],
)
def test_unknown_keys_are_left_alone(raw: bytes) -> None:
    """Keys of later versions and of others are no error."""
    assert MapKey.parse(raw) is None


def test_a_tenants_folder_covers_no_other_tenant() -> None:
    """`a` is a prefix of `ab`, but its folder is not."""
    prefix = folder(Kind.COLLECTION, "a")

    assert prefix <= MapKey(Kind.COLLECTION, "a", "x").encode() < prefix_end(prefix)
    assert not prefix <= MapKey(Kind.COLLECTION, "ab", "x").encode() < prefix_end(prefix)


@pytest.mark.parametrize("prefix", [b"", b"a\xff"])
def test_a_prefix_without_an_end_is_refused(prefix: bytes) -> None:
    """Such a range would cover every key, or nothing."""
    with pytest.raises(ValueError, match="no end"):
        prefix_end(prefix)


def test_control_keeps_its_own_keys_where_no_watch_of_the_map_sees_them() -> None:
    """History, approvals and imports lie under a prefix of their own."""
    keys = [history_key(DOCS, 0x1F), approval_key("a1"), import_key("i1")]

    assert keys == [
        b"/trunkline/control/v1/history/collections/acme/docs/000000000000001f",
        b"/trunkline/control/v1/approvals/a1",
        b"/trunkline/control/v1/imports/i1",
    ]
    assert all(key.startswith(CONTROL_PREFIX) for key in keys)
    assert not any(PREFIX <= key < prefix_end(PREFIX) for key in keys)


def test_an_entrys_history_is_in_the_order_of_its_revisions() -> None:
    """Also where the number of digits grows, and no other entry's is among it."""
    keys = [history_key(DOCS, revision) for revision in (1, 9, 10, 255, 2**63 - 1)]
    other = history_key(MapKey(Kind.COLLECTION, "acme", "docs2"), 5)

    assert keys == sorted(keys)
    assert all(key.startswith(history_folder(DOCS)) for key in keys)
    assert not other.startswith(history_folder(DOCS))
    assert other.startswith(history_of_kind(Kind.COLLECTION, "acme"))
    assert other.startswith(history_of_kind(Kind.COLLECTION))


@pytest.mark.parametrize("entry", [DOCS, EPOCH_KEY, MapKey(Kind.REGION, "eu-west")])
def test_a_history_key_tells_its_entry(entry: MapKey) -> None:
    """Parsing gives back what was encoded."""
    assert parse_history_key(history_key(entry, 77)) == (entry, 77)


@pytest.mark.parametrize(
    "raw",
    [b"", PREFIX, approval_key("a"), history_folder(DOCS), history_folder(DOCS) + b"1f", history_folder(DOCS)[:-1]],
)
def test_other_keys_are_no_history(raw: bytes) -> None:
    """A folder, a key of another kind and a revision of another form are none."""
    assert parse_history_key(raw) is None
