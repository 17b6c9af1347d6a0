"""What a request used, in tokens, money and records."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.routing.world import EU, FakeJournal

from trunkline_map import testing as maps
from trunkline_routing.edge.metering import EMBEDDING, RERANK, SEARCH, WRITE, Meter, Use, stage_uses
from trunkline_usage.prices import parse_prices
from trunkline_usage.records import StageUse

PRICES = parse_prices(
    """
currency: EUR
versions:
  - {version: old, effective_from: 2020-01-01, micros: {search: 1, embedding: 2, rerank: 3, write: 4}}
  - {version: new, effective_from: 2030-01-01, micros: {search: 10, embedding: 20, rerank: 0, write: 40}}
"""
)
ACME = maps.tenant("acme", "eu")


def digest() -> str:
    return "0123456789abcdef"


def price(use: Use) -> int:
    return PRICES.at(0).cost_micros(use.stage, use.count)


def test_a_search_of_several_collections_is_one_of_each() -> None:
    """What served them together is of none."""
    places = ("a", "b", "c")
    uses = [Use(SEARCH, places, 3, 1), Use(EMBEDDING, places, 1, 1), Use(RERANK, places, 1, 3)]
    assert stage_uses(uses, PRICES.at(0)) == (
        StageUse(SEARCH, "a", 1, 1, 1),
        StageUse(SEARCH, "b", 1, 0, 1),
        StageUse(SEARCH, "c", 1, 0, 1),
        StageUse(EMBEDDING, "", 1, 1, 2),
        StageUse(RERANK, "", 1, 3, 3),
    )


def test_a_search_of_one_collection_is_all_of_it() -> None:
    """Embedding and reranking too; and a search that found no collection is of none."""
    uses = [Use(SEARCH, ("a",), 1, 1), Use(EMBEDDING, ("a",), 1, 1), Use(SEARCH, (), 0, 1)]
    assert stage_uses(uses, PRICES.at(0)) == (
        StageUse(SEARCH, "a", 1, 1, 1),
        StageUse(EMBEDDING, "a", 1, 1, 2),
        StageUse(SEARCH, "", 0, 1, 0),
    )


@given(
    uses=st.lists(
        st.builds(
            lambda stage, places, tokens: Use(stage, tuple(places), len(places) if stage == SEARCH else 1, tokens),
            st.sampled_from([SEARCH, EMBEDDING, RERANK, WRITE]),
            st.lists(st.sampled_from("abcdefg"), unique=True, max_size=5),
            st.integers(1, 50),
        ),
        max_size=12,
    )
)
def test_sums_over_collections_are_what_was_charged(uses: list[Use]) -> None:
    """To the last token and the last micro; each stage and collection once."""
    found = stage_uses(uses, PRICES.at(0))
    assert sum(one.tokens for one in found) == sum(use.tokens for use in uses)
    assert sum(one.cost_micros for one in found) == sum(map(price, uses))
    assert len({(one.stage, one.collection) for one in found}) == len(found)


def test_a_record_is_priced_by_the_list_of_its_time() -> None:
    """And says which."""
    journal = FakeJournal()
    for at_s, version, micros in ((1.6e9, "old", 4), (2e9, "new", 40)):
        meter = Meter(PRICES, journal=journal, region=EU, now=itertools.repeat(at_s).__next__)
        assert (
            meter.keep(ACME, "r1", "write", [Use(WRITE, ("a",), 1, 1)], "ok", meter.prices(), digest=digest) == micros
        )
        assert (journal.records[-1].price_version, journal.records[-1].at_s) == (version, at_s)
        assert journal.records[-1].digest == digest()
        assert meter.is_free(RERANK) == (version == "new")


def test_what_used_nothing_is_not_recorded() -> None:
    """A refusal costs nothing and leaves no line."""
    journal = FakeJournal()
    assert (
        Meter(PRICES, journal=journal, region=EU).keep(
            ACME, "r1", "search", [], "OVERLOADED", PRICES.at(0), digest=digest
        )
        == 0
    )
    assert journal.records == []
    uses = [Use(WRITE, ("a",), 2, 2)]
    assert Meter(PRICES, region=EU).keep(ACME, "r1", "write", uses, "ok", PRICES.at(0), digest=digest) == 8
