"""Keys are parsed strictly and ranges cover exactly their folder."""

from __future__ import annotations

import pytest

from trunkline_map.keys import EPOCH_KEY, Kind, MapKey, folder, prefix_end


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
