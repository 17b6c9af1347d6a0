"""What choosing collections saves: seven collections, searched all at once, one after another, and by the policy.

The real services of one region over real etcd, Valkey and Triton. Query vectors are at hand in the router in every case
(embedding costs the same in all of them), decisions are not remembered, and nothing is reranked, so that what is
compared is deciding and searching. `Amdahl`: a search of n collections costs `fixed + n * each`, both read off the
throughput with one collection and with all; by the law, cutting the searches by `s` makes the throughput at most
`1 / ((1 - p) + p / s)` times as large, with p the part that the searches take when everything is searched.

Recall is held against a search of everything in one collection, which needs no merging. The batched search of seven
collections is merged by rank, as scores of different collections cannot be compared, so each of them gets its share of
the ten places whether it has an answer or not; `recall_merged` is its recall without the reranker that mends that.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc

from tests.bench.floor import OPTIONS, ROOM, patiently
from tests.bench.load import Call, throughput
from tests.bench.routed_corpus import QUERIES, Corpus, Item, corpus_of
from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from trunkline_local import LocalStack, RegionSpec, Service, StackSpec, open_stack
from trunkline_local.seeding import CollectionSeed, TenantSeed, seed_map
from trunkline_policy.document import to_yaml
from trunkline_policy.model import RoutingPolicy

TOP_K: Final = 10
IN_FLIGHT: Final = 16
TENANT: Final = "bench"
WHOLE: Final = "bench-whole"
"""A tenant that has all documents in one collection."""
REGION: Final = "us-east"
HEAD_WITHIN_S: Final = 300.0
TIMED: Final = 200
"""Questions whose latency is taken, one in flight."""


@dataclass(slots=True)
class Rates:
    """Searches a second of each way, round by round."""

    one: list[float] = field(default_factory=list)
    everything: list[float] = field(default_factory=list)
    routed: list[float] = field(default_factory=list)


def policy_of(corpus: Corpus) -> str:
    """Return the policy by which the corpus is searched: by meaning, at most two collections, nothing remembered."""
    return to_yaml(
        RoutingPolicy.model_validate(
            {
                "version": 2,
                "strategy": "semantic",
                "max_collections": 2,
                "thresholds": {"semantic": 0.0, "in_scope": 0.0, "margin": 0.6},
                "fallback": "all",
                "cache": {"ttl_s": 0},
                "collections": {name: {"examples": list(texts)} for name, texts in corpus.examples.items()},
            }
        )
    )


class Searcher:
    """Searches one corpus in one stack, in each of the ways."""

    def __init__(self, stub: Any, credentials: Mapping[str, Any], corpus: Corpus) -> None:
        """Use a stub with each tenant's credential."""
        self._stub = stub
        self._metadata = credentials[TENANT]
        self._whole = credentials[WHOLE]
        self.names = tuple(corpus.documents)
        seed = random.Random(7)
        self.queries = seed.sample(list(corpus.queries), min(QUERIES, len(corpus.queries)))
        self._turn = itertools.cycle(self.queries)
        self._name = itertools.cycle(self.names)

    async def search(self, text: str, *collections: str, everything: bool = False) -> routing_pb.SearchResponse:
        """Search the named collections, all, or those of the policy."""
        request = routing_pb.SearchRequest(text=text, top_k=TOP_K, collections=collections, all_collections=everything)
        request.rerank.disabled = True
        answer: routing_pb.SearchResponse = await self._stub.Search(request, timeout=5, metadata=self._metadata)
        return answer

    async def whole(self, text: str) -> routing_pb.SearchResponse:
        """Search everything in one collection."""
        request = routing_pb.SearchRequest(text=text, top_k=TOP_K, collections=[WHOLE])
        request.rerank.disabled = True
        answer: routing_pb.SearchResponse = await self._stub.Search(request, timeout=5, metadata=self._whole)
        return answer

    async def sequential(self, text: str) -> None:
        """Search every collection, one after another."""
        for name in self.names:
            await self.search(text, name)

    def one(self) -> Any:
        """Search the next collection for the next question."""
        return self.search(next(self._turn).text, next(self._name))

    def everything(self) -> Any:
        """Search all collections for the next question."""
        return self.search(next(self._turn).text, everything=True)

    def routed(self) -> Any:
        """Search where the policy says for the next question."""
        return self.search(next(self._turn).text)


async def write_documents(
    stub: Any, metadata: Any, token: bytes, documents: Mapping[str, Sequence[Item]]
) -> dict[str, str]:
    """Write the documents of each collection; return each document's label."""
    labels: dict[str, str] = {}
    written, total = 0, sum(len(items) for items in documents.values())
    for name, items in documents.items():
        named = [(f"{name}-{number}", item) for number, item in enumerate(items)]
        labels.update((document_id, item.label) for document_id, item in named)
        for start in range(0, len(named), 64):
            batch = [
                document_pb.Document(document_id=document_id, text=item.text)
                for document_id, item in named[start : start + 64]
            ]
            request = routing_pb.UpsertRequest(collection=name, documents=batch, map_token=token)
            await patiently(partial(stub.Upsert, request, timeout=60, metadata=metadata))
            written += len(batch)
            sys.stderr.write(f"\rrouted: wrote {written}/{total} documents")
    sys.stderr.write("\n")
    return labels


async def await_head(searcher: Searcher) -> str:
    """Wait until the router decides by a head that the learner trained; return its digest."""
    until_s = time.monotonic() + HEAD_WITHIN_S
    while time.monotonic() < until_s:
        answer = await patiently(partial(searcher.search, searcher.queries[0].text))
        if answer.trail.decision.head_digest:
            return str(answer.trail.decision.head_digest)
        await asyncio.sleep(0.5)
    raise TimeoutError(f"no trained head within {HEAD_WITHIN_S:.0f} s")


def recall(hits: Sequence[Any], wanted: Item, labels: Mapping[str, str], relevant: Mapping[str, int]) -> float:
    """Return the share of the relevant documents (at most ten of them count) that are among the ten hits."""
    found = sum(labels[hit.document.document_id] == wanted.label for hit in hits)
    return found / min(TOP_K, relevant[wanted.label])


async def quality(searcher: Searcher, labels: Mapping[str, str]) -> dict[str, float]:
    """Return the recall of each way, the loss, and how many collections were searched. Warms the vectors."""
    relevant = Counter(label for name, label in labels.items() if name.startswith(WHOLE))
    whole: list[float] = []
    merged: list[float] = []
    routed: list[float] = []
    searched: list[int] = []
    for number, query in enumerate(searcher.queries):
        if query.label not in relevant:
            continue
        one = await patiently(partial(searcher.whole, query.text))
        full = await patiently(partial(searcher.search, query.text, everything=True))
        less = await patiently(partial(searcher.search, query.text))
        assert not full.trail.degradations, full.trail.degradations
        assert less.trail.decision.strategy == trail_pb.STRATEGY_SEMANTIC, less.trail.decision
        whole.append(recall(one.hits, query, labels, relevant))
        merged.append(recall(full.hits, query, labels, relevant))
        routed.append(recall(less.hits, query, labels, relevant))
        searched.append(len(less.trail.collections))
        sys.stderr.write(f"\rrouted: asked {number + 1}/{len(searcher.queries)}")
    sys.stderr.write("\n")
    return {
        "questions": len(routed),
        "recall_everything": statistics.fmean(whole),
        "recall_merged": statistics.fmean(merged),
        "recall_routed": statistics.fmean(routed),
        "recall_delta": statistics.fmean(whole) - statistics.fmean(routed),
        "collections_searched": statistics.fmean(searched),
        "search_ratio": len(searcher.names) / statistics.fmean(searched),
    }


async def rates_of(searcher: Searcher, rounds: int, seconds: float) -> Rates:
    """Measure the throughput of each way in alternating rounds."""
    rates = Rates()
    ways: dict[str, Call] = {
        "one": searcher.one,
        "everything": searcher.everything,
        "routed": searcher.routed,
    }
    for number in range(rounds + 1):
        for name, call in ways.items():
            rate = await throughput(call, in_flight=IN_FLIGHT, seconds=seconds)
            if number:  # the first round warms up
                getattr(rates, name).append(rate)
                sys.stderr.write(f"routed: round {number}: {name} {rate:.0f}/s\n")
    return rates


async def latencies_of(searcher: Searcher) -> dict[str, float]:
    """Measure the mean latency of each way with one in flight, question by question in turn."""
    taken: dict[str, list[float]] = {"routed": [], "everything": [], "sequential": []}
    for query in searcher.queries[:TIMED]:
        ways: dict[str, Call] = {
            "routed": partial(searcher.search, query.text),
            "everything": partial(searcher.search, query.text, everything=True),
            "sequential": partial(searcher.sequential, query.text),
        }
        for name, call in ways.items():
            began_s = time.perf_counter()
            await call()
            taken[name].append((time.perf_counter() - began_s) * 1000)
    return {name: statistics.fmean(values) for name, values in taken.items()}


def amdahl(rates: Rates, collections: int, search_ratio: float) -> tuple[float, float]:
    """Return the bound on the ratio of throughputs, and the part of the work that the searches are (medians)."""
    one_s, all_s = 1 / statistics.median(rates.one), 1 / statistics.median(rates.everything)
    each_s = max(0.0, all_s - one_s) / (collections - 1)
    part = min(1.0, collections * each_s / all_s)
    return 1 / ((1 - part) + part / search_ratio), part


async def open_searcher(stack: AsyncExitStack, local: LocalStack, corpus: Corpus) -> tuple[Searcher, dict[str, str]]:
    """Seed the map and the policy, write the documents, and wait for the trained head."""
    names = tuple(corpus.documents)
    token = await seed_map(
        local.state,
        local.identity.mint("bench-operator", roles=("operator", "admin")),
        tenants=[TenantSeed(tenant, "enterprise", ["us"], ROOM, ROOM) for tenant in (TENANT, WHOLE)],
        collections=[
            *(CollectionSeed(TENANT, name, [REGION], ["us"]) for name in names),
            CollectionSeed(WHOLE, WHOLE, [REGION], ["us"]),
        ],
        policies={TENANT: policy_of(corpus)},
    )
    target = local.state.regions[0].endpoints[Service.ROUTING]
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(target, options=OPTIONS))
    stub = routing_grpc.RoutingServiceStub(channel)
    credentials = {
        tenant: (("authorization", f"Bearer {local.identity.mint('bench', tenant=tenant)}"),)
        for tenant in (TENANT, WHOLE)
    }
    labels = await write_documents(stub, credentials[TENANT], token, corpus.documents)
    everything = [item for items in corpus.documents.values() for item in items]
    labels |= await write_documents(stub, credentials[WHOLE], token, {WHOLE: everything})
    searcher = Searcher(stub, credentials, corpus)
    await await_head(searcher)
    return searcher, labels


async def measure_routed(data: Path | None, *, rounds: int = 5, seconds: float = 3.0) -> dict[str, Any]:
    """Run everything; return the figures of `routed`."""
    corpus = await asyncio.to_thread(corpus_of, data)
    async with AsyncExitStack() as stack:
        run_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-bench-")))
        spec = StackSpec(run_dir=run_dir / "stack", regions=(RegionSpec(region_id=REGION, jurisdiction="us"),))
        local = await stack.enter_async_context(open_stack(spec))
        assert await local.wait_serving(within_s=90)
        searcher, labels = await open_searcher(stack, local, corpus)
        found = await quality(searcher, labels)
        rates = await rates_of(searcher, rounds, seconds)
        latency = await latencies_of(searcher)
    bound, part = amdahl(rates, len(searcher.names), found["search_ratio"])
    ratios = [routed / full for routed, full in zip(rates.routed, rates.everything, strict=True)]
    ratio = statistics.median(ratios)
    figures: dict[str, Any] = {
        "dataset": corpus.name,
        "collections": len(searcher.names),
        "documents": len(labels) // 2,
        **found,
        "everything_rps": statistics.median(rates.everything),
        "routed_rps": statistics.median(rates.routed),
        "throughput_ratio": ratio,
        "search_part": part,
        "amdahl_bound": bound,
        "throughput_to_bound": ratio / bound,
        "latency_ms": {name: round(value, 3) for name, value in latency.items()},
        "latency_cut_to_sequential": 1 - latency["routed"] / latency["sequential"],
    }
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}


if __name__ == "__main__":
    from tests.bench.routing import data_folder

    sys.stdout.write(f"{asyncio.run(measure_routed(data_folder()))}\n")
