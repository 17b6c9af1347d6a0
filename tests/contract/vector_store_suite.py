"""What every vector store must do: the contract of the storage port, run against each adapter.

A test module gives a fixture `store` and subclasses the suite. Every test works in physical collections of its own,
so a store may be shared.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.contract.store_filter_suite import StoreFilterSuite
from tests.contract.store_samples import (
    EAST,
    NORTH,
    NORTH_EAST,
    dense,
    document,
    fill,
    ids,
    new_ref,
    read_all,
    soon,
    vector,
)

from trunkline_mesh.errors import FieldInvalid, SpaceMismatch
from trunkline_retrieval.fusion import candidates_per_list, reciprocal_rank_fusion
from trunkline_retrieval.model import Document, Equals, FieldScalar, Filter, SearchMode, StoreQuery
from trunkline_retrieval.store import VectorStore


class VectorStoreSuite(StoreFilterSuite):
    """The contract. Subclass it with a fixture `store`."""

    async def test_written_document_comes_back_whole(self, store: VectorStore) -> None:
        """A hit carries the document's text and fields, each of the type that was written."""
        ref = new_ref()
        fields: dict[str, FieldScalar] = {
            "title": "Größe 中文 \U0001f600", "whole": 7, "most": 2**63 - 1, "least": -(2**63), "part": 1.0, "on": True,
        }  # fmt: skip
        await fill(store, ref, document("a/b:c#1", text="über\nall \x00 end", fields=fields))

        (hit,) = await store.search(ref, dense(), soon())

        assert Document("a/b:c#1", "über\nall \x00 end", fields) == hit.document
        assert {name: type(value) for name, value in fields.items()} == {
            name: type(value) for name, value in hit.document.fields.items()
        }
        assert hit.score == pytest.approx(1.0)

    async def test_only_the_fields_asked_for_come_back(self, store: VectorStore) -> None:
        """Naming fields leaves the others out; naming one that a document lacks is no error."""
        ref = new_ref()
        await fill(store, ref, document("a", fields={"source": "x", "page": 3}))

        (hit,) = await store.search(ref, dense(include_fields=frozenset({"page", "author"})), soon())

        assert hit.document.fields == {"page": 3}

    async def test_dense_orders_by_cosine(self, store: VectorStore) -> None:
        """Dense search puts the most similar first, whatever the vectors' lengths, and says how similar."""
        ref = new_ref()
        await fill(store, ref, document("n", (0, 9, 0, 0)), document("e", (5, 0, 0, 0)), document("ne", NORTH_EAST))

        hits = await store.search(ref, dense(), soon())

        assert ids(hits) == ["e", "ne", "n"]
        assert [1.0, math.sqrt(0.5), 0.0] == pytest.approx([hit.score for hit in hits], abs=1e-6)

    @pytest.mark.parametrize("mode", SearchMode, ids=lambda mode: mode.name)
    @pytest.mark.parametrize("min_score", [None, 0.5])
    async def test_collections_searched_together_are_each_as_if_alone(
        self, store: VectorStore, mode: SearchMode, min_score: float | None
    ) -> None:
        """Two tenants' collections and an empty one of one shard: same hits, same scores, each its own documents."""
        mine = new_ref("acme", "docs")
        others = [new_ref("globex", "docs", physical=mine.physical_name), new_ref(physical=mine.physical_name)]
        refs = [mine, *others[:1], replace(others[1], scope=replace(others[1].scope, collection_id="empty"))]
        for number, ref in enumerate(refs[:2]):
            documents = [
                document(f"{ref.scope.tenant_id}-{index}", (1, index - 2, number, 0), f"plain words {index % 3}")
                for index in range(7)
            ]
            await fill(store, ref, *documents)
        query = StoreQuery(mode, 4, text="plain words", vector=vector(*EAST), min_score=min_score)

        together = await store.search_many(refs, query, soon())

        alone = [await store.search(ref, query, soon()) for ref in refs]
        for hits, expected in zip(together, alone, strict=True):
            assert [hit.document for hit in hits] == [hit.document for hit in expected]
            assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in expected])
        assert [{name.split("-")[0] for name in ids(hits)} for hits in together] == [{"acme"}, {"globex"}, set()]

    async def test_collections_that_do_not_lie_together_are_not_searched_together(self, store: VectorStore) -> None:
        """One physical collection, or a defect; and one that does not exist holds nothing for any of them."""
        ref = new_ref()
        with pytest.raises(ValueError, match="together"):
            await store.search_many([ref, new_ref()], dense(), soon())
        with pytest.raises(ValueError, match="together"):
            await store.search_many([], dense(), soon())
        other = replace(ref, scope=replace(ref.scope, collection_id="other"))
        assert [list(hits) for hits in await store.search_many([ref, other], dense(), soon())] == [[], []]

    async def test_sparse_finds_words(self, store: VectorStore) -> None:
        """Keyword search finds documents by their words, rarer words first, and nothing by stop words or no words."""
        ref = new_ref()
        await fill(
            store,
            ref,
            document("both", text="garbage collector pauses"),
            document("one", text="garbage trucks of the city"),
            document("none", text="an unrelated thing"),
        )

        hits = await store.search(ref, StoreQuery(SearchMode.SPARSE, 10, text="garbage collectors"), soon())
        of_stop_words = await store.search(ref, StoreQuery(SearchMode.SPARSE, 10, text="the of and"), soon())
        of_nothing = await store.search(ref, StoreQuery(SearchMode.SPARSE, 10, text=""), soon())

        assert ids(hits) == ["both", "one"]
        assert [*of_stop_words, *of_nothing] == []

    async def test_hybrid_is_reciprocal_rank_fusion(self, store: VectorStore) -> None:
        """Hybrid search gives each document the sum of 1 / (60 + rank) over the dense and the keyword list."""
        ref = new_ref()
        rng = np.random.default_rng(7)
        await fill(
            store,
            ref,
            *(
                document(f"d{number}", rng.standard_normal(4).tolist(), "leak " * (number + 1) + "memory")
                for number in range(30)
            ),
        )
        query = StoreQuery(SearchMode.HYBRID, 10, text="memory leak", vector=vector(0.3, 0.1, -0.5, 0.2))
        depth = candidates_per_list(query.limit)
        lists = [
            ids(await store.search(ref, replace(query, mode=mode, limit=depth), soon()))
            for mode in (SearchMode.DENSE, SearchMode.SPARSE)
        ]

        hits = await store.search(ref, query, soon())

        fused = reciprocal_rank_fusion(lists)
        assert [pytest.approx(fused[hit.document.document_id], rel=1e-5) for hit in hits] == [hit.score for hit in hits]
        assert sorted(fused.values(), reverse=True)[:10] == pytest.approx([hit.score for hit in hits], rel=1e-5)

    async def test_hybrid_of_stop_words_is_dense(self, store: VectorStore) -> None:
        """A text without a word to look for leaves the dense order."""
        ref = new_ref()
        await fill(store, ref, document("n", NORTH), document("e", EAST))

        hits = await store.search(ref, StoreQuery(SearchMode.HYBRID, 5, text="the", vector=vector(*EAST)), soon())

        assert ids(hits) == ["e", "n"]

    async def test_ties_are_in_order_of_document_id(self, store: VectorStore) -> None:
        """Equal scores are ordered by document id, also those that the limit cuts."""
        ref = new_ref()
        names = [f"d{number:02}" for number in range(30)]
        await fill(store, ref, *(document(name) for name in reversed(names)))

        hits = await store.search(ref, dense(limit=7), soon())

        assert names[:7] == ids(hits)

    async def test_limit_bounds_the_hits(self, store: VectorStore) -> None:
        """No more hits than the limit come back, and all there are if there are fewer."""
        ref = new_ref()
        await fill(store, ref, *(document(f"d{number}", (1, number, 0, 0)) for number in range(5)))

        assert ids(await store.search(ref, dense(limit=2), soon())) == ["d0", "d1"]
        assert len(await store.search(ref, dense(limit=200), soon())) == 5

    @pytest.mark.parametrize("mode", list(SearchMode), ids=lambda mode: mode.name.lower())
    async def test_min_score_is_cosine_in_every_mode(self, store: VectorStore, mode: SearchMode) -> None:
        """Documents that are less similar than the minimum are left out, however well their words match."""
        ref = new_ref()
        await fill(
            store,
            ref,
            document("near", EAST, "memory"),
            document("between", NORTH_EAST, "memory leak"),
            document("far", NORTH, "memory leak memory leak"),
        )
        query = StoreQuery(mode, 10, text="memory leak", vector=vector(*EAST), min_score=0.5)

        hits = await store.search(ref, query, soon())

        assert {"near", "between"} == set(ids(hits))
        assert await store.search(ref, replace(query, vector=vector(0, 0, 0, 1), min_score=0.1), soon()) == []

    async def test_tenants_see_only_their_own(self, store: VectorStore) -> None:
        """In a shared shard each scope finds, counts and reads its own documents, also under equal ids."""
        mine = new_ref("acme", "docs")
        others = [
            new_ref("acme", "other", physical=mine.physical_name),
            new_ref("globex", "docs", physical=mine.physical_name),
        ]
        for number, ref in enumerate([mine, *others]):
            await fill(store, ref, document("same", text=f"secret {number}"), document(f"own{number}"))

        for number, ref in enumerate([mine, *others]):
            for query in (
                dense(),
                StoreQuery(SearchMode.SPARSE, 10, text="secret plain sentence"),
                StoreQuery(SearchMode.HYBRID, 10, text="secret plain sentence", vector=vector(*EAST)),
            ):
                hits = await store.search(ref, query, soon())
                assert {"same", f"own{number}"} == set(ids(hits))
                assert {f"secret {number}", "a plain sentence"} == {hit.document.text for hit in hits}
            assert await store.count(ref, soon()) == 2
            assert len(await read_all(store, ref, 1)) == 2

    async def test_word_statistics_stay_in_the_scope(self, store: VectorStore) -> None:
        """Another tenant's texts in the same shard do not change a tenant's keyword scores."""
        mine = new_ref("acme")
        other = new_ref("globex", physical=mine.physical_name)
        await fill(store, mine, document("a", text="rare common"), document("b", text="common"), document("c"))
        query = StoreQuery(SearchMode.SPARSE, 10, text="rare common")
        before = await store.search(mine, query, soon())

        await fill(store, other, *(document(f"x{number}", text="rare rare") for number in range(50)))

        assert before == await store.search(mine, query, soon())

    async def test_delete_stays_in_the_scope(self, store: VectorStore) -> None:
        """Deleting an id removes it from one scope only, and an unknown id is no error."""
        mine = new_ref("acme")
        other = new_ref("globex", physical=mine.physical_name)
        await fill(store, mine, document("same"), document("kept"))
        await fill(store, other, document("same"))

        await store.delete(mine, ["same", "never-there"], soon())

        assert ids(await store.search(mine, dense(), soon())) == ["kept"]
        assert ids(await store.search(other, dense(), soon())) == ["same"]

    async def test_writing_again_replaces(self, store: VectorStore) -> None:
        """A second write of an id replaces text, fields and vector; nothing of the first is found."""
        ref = new_ref()
        await fill(store, ref, document("a", EAST, "zebra", {"old": True}))
        await store.upsert(ref, [document("a", NORTH, "giraffe", {"new": 1})], soon())

        (hit,) = await store.search(ref, dense(numbers=NORTH), soon())

        assert Document("a", "giraffe", {"new": 1}) == hit.document
        assert pytest.approx(1.0) == hit.score
        assert await store.search(ref, StoreQuery(SearchMode.SPARSE, 5, text="zebra"), soon()) == []
        assert await store.search(ref, dense(filter=Filter(must=(Equals("old", True),))), soon()) == []
        assert await store.count(ref, soon()) == 1

    async def test_unknown_physical_collection_is_empty(self, store: VectorStore) -> None:
        """Reading or deleting where nothing was ever written finds nothing and is no error."""
        ref = new_ref()

        for mode in SearchMode:
            query = StoreQuery(mode, 10, text="anything", vector=vector(*EAST))
            assert list(await store.search(ref, query, soon())) == []
        assert await store.count(ref, soon()) == 0
        assert await read_all(store, ref, 10) == []
        await store.delete(ref, ["a"], soon())

    async def test_empty_collection_is_empty(self, store: VectorStore) -> None:
        """A physical collection without points answers with nothing, and making it again changes nothing."""
        ref = new_ref()
        await store.ensure_collection(ref, soon())
        await store.ensure_collection(ref, soon())

        query = StoreQuery(SearchMode.HYBRID, 10, text="anything", vector=vector(*EAST), min_score=0.1)
        assert list(await store.search(ref, query, soon())) == []
        assert await store.count(ref, soon()) == 0
        assert await read_all(store, ref, 10) == []

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    async def test_numbers_that_are_not_finite_are_refused(self, store: VectorStore, bad: float) -> None:
        """NaN and infinities reach neither points nor queries."""
        ref = new_ref()
        await fill(store, ref, document("good"))

        with pytest.raises(FieldInvalid):
            await store.upsert(ref, [document("fine"), document("bad", (bad, 0, 0, 0))], soon())
        with pytest.raises(FieldInvalid):
            await store.search(ref, dense(numbers=(bad, 0, 0, 0)), soon())

        assert ids(await store.search(ref, dense(), soon())) == ["good"]

    async def test_another_dimension_is_a_space_mismatch(self, store: VectorStore) -> None:
        """Vectors of another dimension are refused, whether the call or its reference is wrong."""
        ref = new_ref()
        await fill(store, ref, document("a"))
        wide = replace(ref, dimension=5)

        for wrong in (ref, wide):
            with pytest.raises(SpaceMismatch):
                await store.upsert(wrong, [document("b", (1, 0, 0, 0, 0))], soon())
            with pytest.raises(SpaceMismatch):
                await store.search(wrong, dense(numbers=(1, 0, 0, 0, 0)), soon())
        assert await store.count(ref, soon()) == 1

    async def test_another_space_of_equal_dimension_is_a_space_mismatch(self, store: VectorStore) -> None:
        """Spaces don't mix, even when the dimensions agree."""
        ref = new_ref()
        await fill(store, ref, document("a"))
        foreign = replace(ref, space_id="space-b")

        with pytest.raises(SpaceMismatch):
            await store.upsert(foreign, [document("b")], soon())
        with pytest.raises(SpaceMismatch):
            await store.search(foreign, dense(), soon())
        hybrid = StoreQuery(SearchMode.HYBRID, 5, text="plain", vector=vector(*EAST))
        with pytest.raises(SpaceMismatch):
            await store.search(foreign, hybrid, soon())

    @pytest.mark.parametrize("page", [1, 7, 64, 200])
    async def test_scroll_reads_everything_once_in_order(self, store: VectorStore, page: int) -> None:
        """Pages of any size give every document once, in the order of point ids, with its vector at unit length."""
        ref = new_ref()
        wanted = {f"d{number}": (3.0, float(number), 0.0, 0.0) for number in range(70)}
        await fill(store, ref, *(document(name, numbers) for name, numbers in wanted.items()))

        read = await read_all(store, ref, page)

        names = [embedded.document.document_id for embedded in read]
        assert sorted(wanted, key=ref.scope.point_id) == names
        for embedded in read:
            original = vector(*wanted[embedded.document.document_id])
            assert np.allclose(embedded.vector, original / np.linalg.norm(original), atol=1e-6)
            assert np.float32 == embedded.vector.dtype

    async def test_scroll_goes_on_where_a_document_was_deleted(self, store: VectorStore) -> None:
        """A cursor stays good when the document that it names is gone."""
        ref = new_ref()
        names = sorted((f"d{number}" for number in range(6)), key=ref.scope.point_id)
        await fill(store, ref, *(document(name) for name in names))
        first = await store.scroll(ref, None, 2, soon())
        await store.delete(ref, [names[2]], soon())

        second = await store.scroll(ref, first.next_cursor, 10, soon())

        assert names[3:] == [embedded.document.document_id for embedded in second.documents]
