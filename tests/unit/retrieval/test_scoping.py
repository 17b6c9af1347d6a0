"""The tenant's boundary."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from trunkline_retrieval.engine_rows import wire_filter
from trunkline_retrieval.model import AnyOf, Equals, Filter, Range, Scope
from trunkline_retrieval.qdrant_points import to_filter
from trunkline_retrieval.scoping import ScopedFilter, ScopeIs, own_points, scoped

NAMES = st.text("abc-", min_size=1, max_size=4)
WANTED = Filter((Equals("a", 1), Equals("b", True)), (AnyOf("c", ("x",)), Range("d", None, 2.0)))


@pytest.mark.parametrize(("tenant_id", "collection_id"), [("", "docs"), ("acme", ""), ("a/b", "docs"), ("a", "b/c")])
def test_scope_without_both_parts_is_refused(tenant_id: str, collection_id: str) -> None:
    """An empty part would mean everybody's documents, so there is no such scope."""
    with pytest.raises(ValueError, match="scope"):
        Scope(tenant_id, collection_id)


def test_filter_without_its_boundary_cannot_be_made() -> None:
    """A scoped filter holds its boundary among the conditions that must hold."""
    boundary = ScopeIs("acme/docs")
    for key, must in (("", (ScopeIs(""),)), ("acme/docs", ()), ("acme/docs", (ScopeIs("globex/docs"),))):
        with pytest.raises(ValueError, match="boundary"):
            ScopedFilter(ScopeIs(key) if key != boundary.key else boundary, must, ())


@pytest.mark.parametrize("wanted", [None, Filter(), WANTED], ids=["none", "empty", "some"])
def test_both_adapters_carry_the_boundary(wanted: Filter | None) -> None:
    """Whatever is wanted, what reaches an engine asks for the scope first."""
    filtered = scoped(Scope("acme", "docs"), wanted)

    wire, server = wire_filter(filtered), to_filter(filtered).model_dump(exclude_none=True)

    assert wire.must[0] == (0, "", "acme/docs")
    assert server["must"][0] == {"key": "scope", "match": {"value": "acme/docs"}}
    assert len(wire.must) == len(server["must"]) == 1 + len(wanted.must if wanted else ())


def test_points_of_another_scope_are_dropped_and_counted() -> None:
    """A foreign point that a store returns reaches nobody, and raises a counter that pages."""
    name = "trunkline_retrieval_foreign_points_total"
    before = REGISTRY.get_sample_value(name) or 0.0
    points = [("acme", "docs", 1), ("globex", "docs", 2), ("acme", "other", 3), ("", "", 4), ("acme", "docs", 5)]

    kept = own_points(Scope("acme", "docs"), points)

    assert kept == [1, 5]
    assert REGISTRY.get_sample_value(name) == before + 3


@settings(deadline=None)  # time decides nothing here
@given(st.lists(st.tuples(NAMES, NAMES, NAMES), unique=True, max_size=20))
def test_point_ids_are_unique_over_scopes(triples: list[tuple[str, str, str]]) -> None:
    """No two documents of any scopes share a point id, also where names put together read the same."""
    ids = {Scope(tenant, collection).point_id(document) for tenant, collection, document in triples}

    assert len(ids) == len(triples)


def test_point_ids_never_change() -> None:
    """Stored points are found by this id: a change would orphan them all."""
    assert str(Scope("acme", "docs").point_id("a/b")) == "b245c3cd-cea9-560b-ae08-5d12def74b00"
