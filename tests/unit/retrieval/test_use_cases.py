"""Search, write and export over a map and a store in memory: what is refused before the store is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from trunkline_map.testing import StaticMap, collection, region, space, static_map, tenant
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import (
    BackendUnavailable,
    CollectionNotPlaced,
    CollectionUnknown,
    DomainError,
    FieldInvalid,
    MapTokenInvalid,
    ResidencyViolation,
    SpaceMismatch,
    StaleMap,
    TenantSuspended,
    TenantUnknown,
    first_domain_error,
)
from trunkline_retrieval.export import Export, ExportCommand, split_page
from trunkline_retrieval.model import (
    CollectionRef,
    Document,
    EmbeddedDocument,
    Filter,
    FoundDocument,
    Scope,
    ScrollPage,
    SearchMode,
    StoreQuery,
    Vector,
    require_one_shelf,
)
from trunkline_retrieval.placement import Placements
from trunkline_retrieval.search import AT_ONCE_PER_STORE, TOGETHER, Search, SearchCommand
from trunkline_retrieval.store import StoreUsage
from trunkline_retrieval.write import DeleteCommand, UpsertCommand, Write


class RecordingStore:
    """A store that holds nothing and remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, CollectionRef]] = []
        self.queries: list[StoreQuery] = []
        self.together: list[int] = []
        """How many collections each joint search had."""

    async def ensure_collection(self, ref: CollectionRef, deadline: Deadline) -> None:
        self.calls.append(("ensure", ref))

    async def upsert(self, ref: CollectionRef, documents: Sequence[EmbeddedDocument], deadline: Deadline) -> None:
        self.calls.append(("upsert", ref))

    async def search(self, ref: CollectionRef, query: StoreQuery, deadline: Deadline) -> Sequence[FoundDocument]:
        self.calls.append(("search", ref))
        self.queries.append(query)
        return [FoundDocument(Document(ref.scope.collection_id, "text"), 1.0)]

    async def search_many(
        self, refs: Sequence[CollectionRef], query: StoreQuery, deadline: Deadline
    ) -> Sequence[Sequence[FoundDocument]]:
        self.together.append(len(refs))
        require_one_shelf(refs)
        return [await self.search(ref, query, deadline) for ref in refs]

    async def delete(self, ref: CollectionRef, document_ids: Sequence[str], deadline: Deadline) -> None:
        self.calls.append(("delete", ref))

    async def scroll(self, ref: CollectionRef, cursor: UUID | None, limit: int, deadline: Deadline) -> ScrollPage:
        self.calls.append(("scroll", ref))
        return ScrollPage((), None)

    async def count(self, ref: CollectionRef, deadline: Deadline, wanted: Filter | None = None) -> int:
        return 0

    def ready(self) -> bool:
        return True

    def usage(self) -> StoreUsage:
        return StoreUsage(None, 0.0)

    async def close(self) -> None:
        return None


def the_map() -> StaticMap:
    """Return a map with collections that may and may not be served from `eu-west`."""
    return static_map(
        region("us-east", "us"),
        region("eu-west", "eu"),
        tenant("acme", "eu", "us"),
        tenant("local", "eu"),
        tenant("gone", "eu", suspended=True),
        space("minilm", dimension=4),
        space("wide", dimension=8),
        collection("acme", "docs", ["us-east", "eu-west"], ["eu", "us"]),
        collection("acme", "wide", ["eu-west"], ["eu"], space_id="wide", dedicated=True),
        collection("acme", "far", ["us-east"], ["us"]),
        # Entries that control would never write; the wall is checked again all the same.
        collection("acme", "outside", ["eu-west"], ["us"]),
        collection("local", "beyond", ["us-east", "eu-west"], ["us", "eu"]),
        collection("gone", "docs", ["eu-west"], ["eu"]),
        collection("nobody", "docs", ["eu-west"], ["eu"]),
        revision=7,
    )


def vector(dimension: int = 4) -> Vector:
    """Return a vector of the dimension."""
    return np.ones(dimension, dtype=np.float32)


def soon() -> Deadline:
    """Return a deadline that nothing here misses."""
    return Deadline.after(30)


COMMAND = SearchCommand("acme", ["docs"], 5, text="words", vectors={"minilm": vector()})


async def search(command: SearchCommand, region_id: str = "eu-west") -> RecordingStore:
    """Run a search; return the store that was asked."""
    store = RecordingStore()
    await Search(Placements(the_map(), region_id), store).run(command, soon())
    return store


async def test_search_reaches_the_physical_collections_of_its_scopes() -> None:
    """Each collection is looked for where the map says, with the vector of its own space."""
    command = replace(
        COMMAND,
        collections=["wide", "docs"],
        vectors={"minilm": vector(), "wide": vector(8)},
        include_fields=frozenset(),
    )
    store = RecordingStore()

    results = await Search(Placements(the_map(), "eu-west"), store).run(command, soon())

    assert [result.collection_id for result in results] == ["wide", "docs"]
    assert set(store.calls) == {
        ("search", CollectionRef(Scope("acme", "docs"), "shard_minilm_0", "minilm", 4)),
        ("search", CollectionRef(Scope("acme", "wide"), "c_acme_wide", "wide", 8)),
    }
    assert sorted(len(query.vector) for query in store.queries if query.vector is not None) == [4, 8]


@pytest.mark.parametrize(
    ("text", "with_vector", "asked", "expected"),
    [
        ("words", True, None, SearchMode.HYBRID),
        ("words", False, None, SearchMode.SPARSE),
        ("", True, None, SearchMode.DENSE),
        ("words", True, SearchMode.DENSE, SearchMode.DENSE),
        ("words", True, SearchMode.SPARSE, SearchMode.SPARSE),
        ("", False, None, FieldInvalid),
        ("", True, SearchMode.HYBRID, FieldInvalid),
        ("words", False, SearchMode.HYBRID, FieldInvalid),
        ("words", False, SearchMode.DENSE, FieldInvalid),
        ("", True, SearchMode.SPARSE, FieldInvalid),
    ],
)
async def test_mode_follows_from_what_is_given(
    text: str, with_vector: bool, asked: SearchMode | None, expected: SearchMode | type[DomainError]
) -> None:
    """An open mode uses what is there; a named one is refused if it lacks its text or vector."""
    command = replace(COMMAND, text=text, vectors={"minilm": vector()} if with_vector else {}, mode=asked)

    if isinstance(expected, SearchMode):
        assert [query.mode for query in (await search(command)).queries] == [expected]
    else:
        with pytest.raises(expected):
            await search(command)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"tenant_id": "stranger"}, TenantUnknown),
        ({"tenant_id": "nobody"}, TenantUnknown),
        ({"tenant_id": "gone"}, TenantSuspended),
        ({"collections": ["none"]}, CollectionUnknown),
        ({"collections": ["docs", "none"]}, CollectionUnknown),
        ({"collections": ["far"]}, CollectionNotPlaced),
        ({"collections": ["outside"]}, ResidencyViolation),
        ({"vectors": {"wide": vector(8)}}, SpaceMismatch),
        ({"vectors": {"minilm": vector(8)}}, SpaceMismatch),
        ({"vectors": {"minilm": vector(), "wide": vector(8)}}, SpaceMismatch),
        ({"collections": ["docs", "wide"]}, SpaceMismatch),
        ({"vectors": {}, "min_score": 0.5}, FieldInvalid),
        ({"map_token": b"garbage"}, MapTokenInvalid),
    ],
    ids=str,
)
async def test_search_that_the_map_does_not_allow_is_refused(
    change: dict[str, object], error: type[DomainError]
) -> None:
    """What the map does not allow is refused with its own reason, and the store is not asked."""
    store = RecordingStore()

    with pytest.raises(error):
        await Search(Placements(the_map(), "eu-west"), store).run(replace(COMMAND, **change), soon())  # type: ignore[arg-type] # fields of SearchCommand

    assert store.calls == []


@pytest.mark.parametrize("region_id", ["us-east", "unheard-of"])
async def test_tenant_outside_its_jurisdictions_is_refused(region_id: str) -> None:
    """A collection is not served where its tenant may not be, nor from a region that the map does not know."""
    command = replace(COMMAND, tenant_id="local", collections=["beyond"])

    with pytest.raises((ResidencyViolation, CollectionNotPlaced)):
        await search(command, region_id)


async def test_later_map_token_is_waited_for_within_the_deadline() -> None:
    """A map that does not catch up in time is a typed refusal, never an answer from the older one."""
    source = the_map()
    later = static_map(revision=99).snapshot.token
    store = RecordingStore()

    with pytest.raises(StaleMap):
        await Search(Placements(source, "eu-west"), store).run(replace(COMMAND, map_token=later), Deadline.after(0.05))

    assert store.calls == []


async def test_upsert_ensures_and_writes() -> None:
    """A write makes the physical collection first and says how many documents it wrote."""
    store = RecordingStore()
    write = Write(Placements(the_map(), "eu-west"), store)
    documents = [EmbeddedDocument(Document("a", "text"), vector()), EmbeddedDocument(Document("b", "text"), vector())]

    assert await write.upsert(UpsertCommand("acme", "docs", "minilm", documents), soon()) == 2

    assert [name for name, _ in store.calls] == ["ensure", "upsert"]


@pytest.mark.parametrize(
    ("space_id", "dimension", "collection_id", "error"),
    [
        ("wide", 4, "docs", SpaceMismatch),
        ("minilm", 8, "docs", SpaceMismatch),
        ("minilm", 4, "far", CollectionNotPlaced),
        ("minilm", 4, "outside", ResidencyViolation),
    ],
)
async def test_write_that_does_not_belong_is_refused(
    space_id: str, dimension: int, collection_id: str, error: type[DomainError]
) -> None:
    """Vectors of another space and collections that may not be here are refused before anything is made."""
    store = RecordingStore()
    write = Write(Placements(the_map(), "eu-west"), store)
    documents = [EmbeddedDocument(Document("a", "text"), vector(dimension))]

    with pytest.raises(error):
        await write.upsert(UpsertCommand("acme", collection_id, space_id, documents), soon())

    assert store.calls == []


async def test_delete_and_export_obey_the_map() -> None:
    """The other methods stand behind the same wall."""
    store = RecordingStore()
    placements = Placements(the_map(), "eu-west")

    with pytest.raises(CollectionNotPlaced):
        await Write(placements, store).delete(DeleteCommand("acme", "far", ["a"]), soon())
    with pytest.raises(ResidencyViolation):
        async for _ in Export(placements, store).run(ExportCommand("acme", "outside"), soon()):
            pass
    assert store.calls == []

    assert await Write(placements, store).delete(DeleteCommand("acme", "docs", ["a", "b"]), soon()) == 2
    pages = [page async for page in Export(placements, store).run(ExportCommand("acme", "docs"), soon())]
    assert pages == [ScrollPage((), None)]


async def test_an_export_ends_when_its_tenant_is_suspended() -> None:
    """A stream lives for minutes; the map is asked again before each further page."""
    world = the_map()

    class LongStore(RecordingStore):
        async def scroll(self, ref: CollectionRef, cursor: UUID | None, limit: int, deadline: Deadline) -> ScrollPage:
            await super().scroll(ref, cursor, limit, deadline)
            return ScrollPage((), UUID(int=len(self.calls)))

    store = LongStore()
    pages = Export(Placements(world, "eu-west"), store).run(ExportCommand("acme", "docs"), soon())
    await anext(pages)
    await anext(pages)
    world.put(tenant("acme", "eu", "us", suspended=True))

    with pytest.raises(TenantSuspended):
        await anext(pages)
    assert len(store.calls) == 2


async def test_one_failing_collection_fails_the_search() -> None:
    """Of several collections, a failing one is told and not left out."""

    class FailingStore(RecordingStore):
        async def search(self, ref: CollectionRef, query: StoreQuery, deadline: Deadline) -> Sequence[FoundDocument]:
            if ref.scope.collection_id == "wide":
                raise SpaceMismatch
            return await super().search(ref, query, deadline)

    command = replace(COMMAND, collections=["docs", "wide"], vectors={"minilm": vector(), "wide": vector(8)})

    with pytest.raises(ExceptionGroup) as caught:
        await Search(Placements(the_map(), "eu-west"), FailingStore()).run(command, soon())

    assert isinstance(first_domain_error(caught.value), SpaceMismatch)


class BrokenStore(RecordingStore):
    """A store that fails for some collections."""

    def __init__(self, **failures: DomainError) -> None:
        super().__init__()
        self.failures = failures

    async def search(self, ref: CollectionRef, query: StoreQuery, deadline: Deadline) -> Sequence[FoundDocument]:
        failure = self.failures.get(ref.scope.collection_id)
        if failure is not None:
            raise failure
        return await super().search(ref, query, deadline)


PARTIAL = replace(COMMAND, allow_partial=True)


async def test_a_partial_answer_names_what_is_missing_and_why() -> None:
    """Whatever the reason: the map, residency, the vectors, the store. The others are answered, in their order."""
    names = ["none", "docs", "far", "outside", "wide", "docs2"]
    source = the_map()
    source.put(collection("acme", "docs2", ["eu-west"], ["eu"], dedicated=True))
    store = BrokenStore(docs2=BackendUnavailable())

    results = await Search(Placements(source, "eu-west"), store).run(replace(PARTIAL, collections=names), soon())

    assert [(result.collection_id, type(result.error)) for result in results] == [
        ("none", CollectionUnknown),
        ("docs", type(None)),
        ("far", CollectionNotPlaced),
        ("outside", ResidencyViolation),
        ("wide", SpaceMismatch),
        ("docs2", BackendUnavailable),
    ]
    assert [len(result.hits) for result in results] == [0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"tenant_id": "nobody"}, TenantUnknown),
        ({"tenant_id": "gone"}, TenantSuspended),
        ({"map_token": b"garbage"}, MapTokenInvalid),
        ({"vectors": {}, "mode": SearchMode.DENSE}, FieldInvalid),
        ({"vectors": {"minilm": np.array([1, 2, 3, np.nan], dtype=np.float32)}}, FieldInvalid),
        ({"vectors": {"minilm": vector(), "wide": vector(8)}}, SpaceMismatch),
    ],
    ids=str,
)
async def test_what_speaks_of_the_whole_request_is_no_partial_answer(
    change: dict[str, object], error: type[DomainError]
) -> None:
    """It is refused as ever."""
    with pytest.raises(error):
        await search(replace(PARTIAL, **change))  # type: ignore[arg-type] # fields of SearchCommand


async def test_a_defect_is_no_partial_answer() -> None:
    """What has no reason of the contract is not hidden behind one."""

    class DefectiveStore(RecordingStore):
        async def search(self, ref: CollectionRef, query: StoreQuery, deadline: Deadline) -> Sequence[FoundDocument]:
            raise KeyError

    with pytest.raises(KeyError):
        await Search(Placements(the_map(), "eu-west"), DefectiveStore()).run(PARTIAL, soon())


async def test_one_search_asks_one_store_for_a_few_collections_at_once() -> None:
    """Of 64, eight; the others follow in turn."""

    class BusyStore(RecordingStore):
        under_way = 0
        most = 0

        async def search(self, ref: CollectionRef, query: StoreQuery, deadline: Deadline) -> Sequence[FoundDocument]:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            await asyncio.sleep(0)
            self.under_way -= 1
            return await super().search(ref, query, deadline)

    source, store = the_map(), BusyStore()
    names = [f"c{number}" for number in range(64)]
    source.put(*(collection("acme", name, ["eu-west"], ["eu"], dedicated=True) for name in names))

    results = await Search(Placements(source, "eu-west"), store).run(replace(COMMAND, collections=names), soon())

    assert [result.collection_id for result in results] == names
    assert [result.hits[0].document.document_id for result in results] == names
    assert store.most == AT_ONCE_PER_STORE


async def test_collections_of_a_shared_shard_are_asked_for_together() -> None:
    """Eight in a round trip, in the caller's order, the one with a physical collection of its own apart."""
    source, store = the_map(), RecordingStore()
    names = [f"c{number}" for number in range(19)]
    source.put(*(collection("acme", name, ["eu-west"], ["eu"], dedicated=name == "c5") for name in names))

    results = await Search(Placements(source, "eu-west"), store).run(replace(COMMAND, collections=names), soon())

    assert [result.hits[0].document.document_id for result in results] == names
    assert store.together == [TOGETHER, TOGETHER, 2]


async def test_a_joint_search_that_fails_is_told_of_each() -> None:
    """A shard that is away is missing for every collection in it, and for no other."""
    source = the_map()
    source.put(
        collection("acme", "one", ["eu-west"], ["eu"]),
        collection("acme", "two", ["eu-west"], ["eu"]),
        collection("acme", "apart", ["eu-west"], ["eu"], dedicated=True),
    )
    store = BrokenStore(two=BackendUnavailable())
    command = replace(PARTIAL, collections=["one", "apart", "two"])

    results = await Search(Placements(source, "eu-west"), store).run(command, soon())

    assert [type(result.error) for result in results] == [BackendUnavailable, type(None), BackendUnavailable]


def test_pages_are_split_by_size_with_the_right_cursors() -> None:
    """Parts of a page stay under the bound, or hold one document, and each names where the next begins."""
    ref = CollectionRef(Scope("acme", "docs"), "c_acme_docs", "minilm", 4)
    documents = tuple(
        EmbeddedDocument(Document(f"d{number}", "x" * size), vector())
        for number, size in enumerate([100, 100, 5_000, 100, 900, 100])
    )
    after = UUID(int=5)

    parts = list(split_page(ref, ScrollPage(documents, after), max_bytes=1_000))

    names = [[embedded.document.document_id for embedded in part.documents] for part in parts]
    assert names == [["d0", "d1"], ["d2"], ["d3"], ["d4"], ["d5"]]
    firsts = [ref.scope.point_id(part[0]) for part in names[1:]]
    assert [part.next_cursor for part in parts] == [*firsts, after]
