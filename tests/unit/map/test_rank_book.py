"""A tenant's rank: its tier by the map, and the tier's rank by the tier file."""

from __future__ import annotations

from trunkline_map.rank_book import RankBook
from trunkline_map.source import MapHolder
from trunkline_map.testing import static_map, tenant
from trunkline_tiers import default_tiers


def test_each_tier_has_its_rank() -> None:
    """By the default file: free below pro below enterprise."""
    source = static_map(*(tenant(tier, "eu", tier=tier) for tier in ("free", "pro", "enterprise")))
    book = RankBook(source, default_tiers())
    assert [book.rank_of(name) for name in ("free", "pro", "enterprise")] == [0, 1, 2]
    assert book.tier_of("pro") == "pro"


def test_what_is_unknown_is_of_the_lowest_rank() -> None:
    """A tenant that is not in the map, one of a tier that is in no file, and everybody before there is a map."""
    book = RankBook(static_map(tenant("acme", "eu", tier="platinum")), default_tiers())
    assert [book.rank_of("acme"), book.rank_of("nobody")] == [0, 0]
    assert book.tier_of("acme") == "free"


def test_a_change_of_the_map_shows_at_once() -> None:
    """Nothing is remembered of an older one."""
    source = static_map(tenant("acme", "eu", tier="free"))
    book = RankBook(source, default_tiers())
    assert book.rank_of("acme") == 0
    source.publish(static_map(tenant("acme", "eu", tier="enterprise")).snapshot)
    assert book.rank_of("acme") == 2


class _NoMap(MapHolder):
    def age_s(self) -> float:
        """As a source that never heard of a map."""
        return float("inf")


def test_without_a_map_nobody_fails() -> None:
    """A service that has just started refuses for other reasons, if at all."""
    assert RankBook(_NoMap(), default_tiers()).rank_of("acme") == 0
