"""The part of the storage port's contract that concerns filters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pytest
from tests.contract.store_samples import EAST, document, fill, ids, new_ref, soon, vector

from trunkline_retrieval.model import AnyOf, CollectionRef, Condition, Equals, Filter, Range, SearchMode, StoreQuery
from trunkline_retrieval.store import VectorStore


class StoreFilterSuite:
    """Every kind of condition, on one collection of five documents."""

    FILTER_CASES: Final[Mapping[str, tuple[tuple[Condition, ...], tuple[Condition, ...], set[str]]]] = {
        "text": ((Equals("s", "one"),), (), {"a"}),
        "text is to the letter": ((Equals("s", "One"),), (), set()),
        "text of a number": ((Equals("n", "1"),), (), {"e"}),
        "whole number": ((Equals("n", 1),), (), {"a"}),
        "largest number": ((Equals("n", 2**63 - 1),), (), {"c"}),
        "one less than the largest": ((Equals("n", 2**63 - 2),), (), set()),
        "true": ((Equals("b", True),), (), {"a"}),
        "false": ((Equals("b", False),), (), {"b"}),
        "one is not true": ((Equals("b", 1),), (), {"d"}),
        "any of": ((AnyOf("s", ("one", "two", "nine")),), (), {"a", "b"}),
        "range of whole numbers": ((Range("n", 1, 2),), (), {"a", "b"}),
        "range from": ((Range("x", 2.5, None),), (), {"b", "c"}),
        "range to": ((Range("x", None, 2.5),), (), {"a", "b"}),
        "range between": ((Range("x", 2.6, 2.7),), (), set()),
        "missing field": ((Equals("nowhere", "x"),), (), set()),
        "missing field in a range": ((Range("nowhere", 0, None),), (), set()),
        "all must hold": ((Equals("s", "one"), Equals("n", 2)), (), set()),
        "all hold": ((Equals("s", "one"), Range("x", 1, 2), Equals("b", True)), (), {"a"}),
        "none may hold": ((), (Equals("s", "one"), Equals("n", 2)), {"c", "d", "e"}),
        "none may hold, missing passes": ((), (Equals("nowhere", 1),), {"a", "b", "c", "d", "e"}),
        "not true": ((), (Equals("b", True),), {"b", "c", "d", "e"}),
        "both": ((AnyOf("s", ("one", "two")),), (Equals("b", True),), {"b"}),
        "same field twice": ((Range("n", 1, None), Range("n", None, 1)), (), {"a"}),
    }

    @pytest.mark.parametrize("case", list(FILTER_CASES))
    async def test_filters(self, store: VectorStore, filtered: CollectionRef, case: str) -> None:
        """Each kind of condition passes the documents that it describes, in every mode and in counting."""
        must, must_not, expected = self.FILTER_CASES[case]
        wanted = Filter(must, must_not)

        for mode in SearchMode:
            query = StoreQuery(mode, 10, text="plain", vector=vector(*EAST), filter=wanted)
            assert expected == set(ids(await store.search(filtered, query, soon())))
        assert len(expected) == await store.count(filtered, soon(), wanted)

    @pytest.fixture(scope="class")
    @classmethod
    async def filtered(cls, store: VectorStore) -> CollectionRef:
        """Give a collection whose documents differ in their fields, beside another tenant's with the same fields."""
        ref = new_ref()
        documents = (
            document("a", fields={"s": "one", "n": 1, "x": 1.5, "b": True}),
            document("b", fields={"s": "two", "n": 2, "x": 2.5, "b": False}),
            document("c", fields={"n": 2**63 - 1, "x": 1e300}),
            document("d", fields={"b": 1}),
            document("e", fields={"n": "1", "b": "true"}),
        )
        await fill(store, ref, *documents)
        await fill(store, new_ref("globex", physical=ref.physical_name), *documents)
        return ref
