"""One embedding batch for all queries of a SearchBatch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from trunkline_map.entries import CollectionEntry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError
from trunkline_routing.edge import gate as gates
from trunkline_routing.edge.model import Gate, Query
from trunkline_routing.edge.query_vectors import QueryVectors
from trunkline_routing.edge.retrieving import MAX_SPACES
from trunkline_routing.edge.trail import TrailRecorder


async def embed_batch(
    gate: Gate,
    queries: Sequence[Query],
    trails: Sequence[TrailRecorder],
    vectors: QueryVectors,
    *,
    scratch: TrailRecorder,
    budget: Deadline,
) -> None:
    """Embed the texts of a batch at once in each space where they may be searched, so that each query finds its own.

    A query that names a collection which may not be read here takes no part: it must be refused before it is embedded.
    Failures are left to the queries, which meet them again, and whose trails then tell.
    """
    if gate.terms.embedding is not None:
        return
    texts: defaultdict[str, list[str]] = defaultdict(list)
    searched: defaultdict[str, list[CollectionEntry]] = defaultdict(list)
    for query in queries:
        entries = list(_entries(gate, query)) if query.text else []
        for space_id in {entry.space_id for entry in entries}:
            texts[space_id].append(query.text)
            searched[space_id].extend(entry for entry in entries if entry.space_id == space_id)
    embedded: set[str] = set()
    for space_id in sorted(texts)[:MAX_SPACES]:
        space = gate.snapshot.space(space_id)
        if space is None:
            continue
        wanted = list(dict.fromkeys(texts[space_id]))
        missing = vectors.missing(gate, space, wanted)
        walls = gates.wall(gate, searched[space_id])
        try:
            await vectors.of(gate, space, wanted, wall=walls, deadline=budget, trail=scratch)
        except DomainError:
            break
        embedded |= missing
    for query, trail in zip(queries, trails, strict=True):
        trail.adopt(scratch)
        trail.embedded = query.text in embedded


def _entries(gate: Gate, query: Query) -> Iterable[CollectionEntry]:
    tenant_id = gate.tenant.tenant_id
    if not query.collections:
        return [entry for entry in gate.snapshot.collections_of(tenant_id) if gates.readable(gate, entry)]
    named = [gate.snapshot.collection(tenant_id, name) for name in query.collections]
    entries = [entry for entry in named if entry is not None and gates.readable(gate, entry)]
    return entries if len(entries) == len(named) else []
