"""Digests tell requests of one id apart, and tell of nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.routing.test_write import documents
from tests.unit.routing.world import TENANT, World, query, scope

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline_routing.edge.content_digest import of_delete, of_search, of_upsert
from trunkline_routing.edge.model import Query


def filtered(*languages: str) -> document_pb.Filter:
    return document_pb.Filter(must=[document_pb.Condition(field="lang", equals_string=one) for one in languages])


ASKED = query("axis 0", collections=("a", "b"), filter=filtered("de"))


def test_a_retry_has_the_same_digest() -> None:
    """Its message is another object; what its caller may change between attempts, or a router adds, is not in it."""
    again = replace(ASKED, filter=filtered("de"), rerank_depth=7, previous_decision_id="before", explain=True)
    assert of_search("r", [again]) == of_search("r", [ASKED])
    assert len(bytes.fromhex(of_search("r", [ASKED]))) == 8
    one, other = document_pb.Document(document_id="1", text="t"), document_pb.Document(document_id="1", text="t")
    for name in ("x", "y", "z"):
        one.fields[name].string_value = name
    for name in ("z", "y", "x"):
        other.fields[name].string_value = name
    assert of_upsert("r", "a", [one]) == of_upsert("r", "a", [other])


def test_equal_contents_of_different_requests_have_nothing_in_common() -> None:
    """So that lines of one query cannot be put together."""
    assert of_search("r1", [ASKED]) != of_search("r2", [ASKED])
    assert of_delete("r" * 64, "a", ["1"]) != of_delete("r" * 63 + "s", "a", ["1"])


@pytest.mark.parametrize(
    "other",
    [
        [replace(ASKED, text="axis 1")],
        [replace(ASKED, rerank=True)],
        [replace(ASKED, top_k=6)],
        [replace(ASKED, collections=("b", "a"))],
        [replace(ASKED, collections=("a",))],
        [replace(ASKED, collections=(), all_collections=True)],
        [replace(ASKED, filter=None)],
        [replace(ASKED, filter=filtered("de", "fr"))],
        [replace(ASKED, text="", vectors={"minilm": (1.0, 0.0)})],
        [replace(ASKED, text="", vectors={"minilm": (1.0, 0.5)})],
        [replace(ASKED, text="", vectors={"other": (1.0, 0.0)})],
        [ASKED, ASKED],
        [],
    ],
)
def test_another_question_has_another_digest(other: list[Query]) -> None:
    """Whatever of it differs."""
    everything = {of_search("r", [ASKED]), of_search("r", [replace(ASKED, text="", vectors={"x": (1.0, 0.0)})])}
    assert of_search("r", other) not in everything


_texts = st.text('a",[]:', max_size=6)
_queries = st.lists(
    st.builds(
        Query,
        text=_texts,
        vectors=st.dictionaries(_texts, st.lists(st.sampled_from([0.0, 1.0]), max_size=2).map(tuple), max_size=2),
        top_k=st.integers(1, 12),
        collections=st.lists(_texts, max_size=3).map(tuple),
    ),
    max_size=3,
)


@given(_queries, _queries)
def test_no_question_can_be_written_as_another(one: list[Query], other: list[Query]) -> None:
    """Also with texts that look like what stands between them."""
    same = [list(each.vectors.items()) for each in one] == [list(each.vectors.items()) for each in other]
    assert (of_search("r", one) == of_search("r", other)) == (one == other and same)


def test_writes_differ_by_what_is_written_and_how() -> None:
    """The same documents with other texts, deleted, or of another collection."""
    texts = [document_pb.Document(document_id=str(index), text=f"other {index}") for index in range(3)]
    ids = [one.document_id for one in documents(3)]
    made = {
        of_upsert("r", "a", documents(3)),
        of_upsert("r", "b", documents(3)),
        of_upsert("r", "a", documents(2)),
        of_upsert("r", "a", texts),
        of_delete("r", "a", ids),
        of_delete("r", "b", ids),
        of_delete("r", "a", ["1,2"]),
        of_delete("r", "a", ["1", "2"]),
    }
    assert len(made) == 8


async def test_records_of_one_id_are_repeats_only_of_the_same_content() -> None:
    """A retry repeats its record; another question or write under its id does not, whatever the id says."""
    world = World()
    asked = query("axis 0", collections=("both",))
    for one in (asked, replace(asked), replace(asked, rerank=True)):
        await world.search().run(TENANT, [one], b"", scope())
    for left_s, count in ((5.0, 3), (4.0, 3), (5.0, 2)):
        await world.write().upsert(TENANT, "both", documents(count), b"", scope(left_s))
    await world.write().delete(TENANT, "both", ["1"], b"", scope())
    assert {record.request_id for record in world.journal.records} == {"request-1"}
    digests = [record.digest for record in world.journal.records]
    assert (digests[0], digests[3]) == (digests[1], digests[4])
    assert len(set(digests)) == 5
