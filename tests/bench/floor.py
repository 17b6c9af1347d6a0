"""What Trunkline adds to bare gRPC: `python -m tests.bench.floor`; the last line is `RESULT {json}`.

Everything is measured in one run, in alternating rounds, so that ratios survive a noisy machine. `echo` is one bare
hop. `chain` has as many serial hops from process to process as a search makes: client to router, router to retrieval,
retrieval to the engine's worker. The last one is a socket pair and no gRPC, so `grpc_chain`, with the two gRPC hops
alone, is measured and reported beside it. `route` and `search` go through the real services over real etcd, Valkey and
Triton, one process each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc

from tests.bench.echo_server import METHOD
from tests.bench.load import Call, Measured, latencies, throughput
from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from trunkline_local import RegionSpec, Service, StackSpec, open_stack
from trunkline_local.seeding import CollectionSeed, TenantSeed, seed_map
from trunkline_mesh.channels import CLIENT_OPTIONS
from trunkline_text import read_stdlib

HOPS: Final = 3
GRPC_HOPS: Final = 2
IN_FLIGHT: Final = 16
ROOM: Final = 10_000_000
"""Requests a minute and a day: no quota stands in the way of what is measured."""
QUESTION: Final = "How to debug memory leaks in Python?"
POLICY: Final = """
version: 1
collections:
  debugging:
    keywords: [memory leak, memory leaks, debug]
"""
OPTIONS: Final = [option for option in CLIENT_OPTIONS if option[0] != "grpc.service_config"]


@asynccontextmanager
async def echo_process(next_target: str = "") -> AsyncIterator[str]:
    """Run one echo server; yield its target."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.echo_server",
        *([next_target] if next_target else []),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        yield f"127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def bare_calls(stack: AsyncExitStack) -> dict[str, Call]:
    """Start the echo server and a chain of HOPS, and return one call of each."""
    payload = routing_pb.RouteRequest(text=QUESTION).SerializeToString()
    echo = await stack.enter_async_context(echo_process())
    targets = [echo]
    for _ in range(HOPS - 1):
        targets.append(await stack.enter_async_context(echo_process(targets[-1])))
    calls: dict[str, Call] = {}
    for name, target in (("echo", echo), ("grpc_chain", targets[GRPC_HOPS - 1]), ("chain", targets[HOPS - 1])):
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(target, options=OPTIONS))
        method: grpc.aio.UnaryUnaryMultiCallable[Any, Any] = channel.unary_unary(METHOD)
        calls[name] = partial(method, payload, timeout=4)
    return calls


async def real_calls(stack: AsyncExitStack, run_dir: Path, documents: int) -> dict[str, Call]:
    """Start one region with real documents, and return the calls to measure, each checked to be what it claims."""
    spec = StackSpec(run_dir=run_dir, regions=(RegionSpec(region_id="us-east", jurisdiction="us"),), learners=False)
    local = await stack.enter_async_context(open_stack(spec))
    assert await local.wait_serving(within_s=90)
    token = await seed_map(
        local.state,
        local.identity.mint("bench-operator", roles=("operator", "admin")),
        tenants=[TenantSeed("bench", "enterprise", ["us"], ROOM, ROOM)],
        collections=[CollectionSeed("bench", "debugging", ["us-east"], ["us"])],
        policies={"bench": POLICY},
    )
    target = local.state.regions[0].endpoints[Service.ROUTING]
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(target, options=OPTIONS))
    stub = routing_grpc.RoutingServiceStub(channel)
    metadata = (("authorization", f"Bearer {local.identity.mint('bench', tenant='bench')}"),)
    await ingest(stub, metadata, token, documents)

    route = routing_pb.RouteRequest(text=QUESTION)
    search = routing_pb.SearchRequest(text=QUESTION, top_k=5)
    search.rerank.disabled = True
    serial = iter(range(1 << 30))

    def fresh() -> routing_pb.RouteRequest:
        return routing_pb.RouteRequest(text=f"question number {next(serial)} about nothing known")

    await patiently(partial(stub.Search, search, timeout=4, metadata=metadata))
    answer = await stub.Search(search, timeout=4, metadata=metadata)
    stages = [stage.name for stage in answer.trail.stages]
    assert len(answer.hits) == 5, answer
    assert trail_pb.STAGE_NAME_EMBEDDING not in stages, "the embedding must be at hand"
    assert not answer.trail.degradations, answer.trail.degradations
    routed = await stub.Route(route, timeout=4, metadata=metadata)
    assert routed.trail.decision.cached
    return {
        "route": lambda: stub.Route(route, timeout=4, metadata=metadata),
        "search": lambda: stub.Search(search, timeout=4, metadata=metadata),
        "route_embedding": lambda: stub.Route(fresh(), timeout=4, metadata=metadata),
    }


async def patiently(call: Call) -> Any:
    """Repeat a call that is refused for a while: a machine that is busy with other things is no reason to give up."""
    give_up_s = time.monotonic() + 120
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as exc:
            if exc.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > give_up_s:
                raise
            sys.stderr.write(f"\nwaiting: {exc.details()}\n")
            await asyncio.sleep(1)


async def ingest(stub: Any, metadata: Any, token: bytes, documents: int) -> None:
    """Write real documentation, so that a search has something to find."""
    corpus = await asyncio.to_thread(read_stdlib)
    chunks = [chunk for topic in corpus.collections.values() for chunk in topic][:documents]
    for start in range(0, len(chunks), 64):
        batch = [
            document_pb.Document(document_id=chunk.document_id, text=chunk.text) for chunk in chunks[start : start + 64]
        ]
        request = routing_pb.UpsertRequest(collection="debugging", documents=batch, map_token=token)
        await patiently(partial(stub.Upsert, request, timeout=60, metadata=metadata))
        sys.stderr.write(f"\ringested {start + len(batch)}/{len(chunks)}")
    sys.stderr.write("\n")


async def measure(rounds: int, seconds: float, documents: int) -> dict[str, float | int]:
    """Run everything and return the figures."""
    async with AsyncExitStack() as stack:
        run_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-bench-")))
        calls = await bare_calls(stack) | await real_calls(stack, run_dir / "stack", documents)
        results = {name: Measured(name) for name in calls}
        for call in calls.values():
            await throughput(call, in_flight=IN_FLIGHT, seconds=min(1.0, seconds))
        for number in range(rounds):
            for name, call in calls.items():
                results[name].rates.append(await throughput(call, in_flight=IN_FLIGHT, seconds=seconds))
                results[name].latencies_ms.extend(await latencies(call, count=100))
                sys.stderr.write(f"round {number + 1}: {name} {results[name].rates[-1]:.0f}/s\n")
    figures: dict[str, float | int] = {
        "hops": HOPS,
        "grpc_hops": GRPC_HOPS,
        "in_flight": IN_FLIGHT,
        "rounds": rounds,
        "documents": documents,
    }
    for name, result in results.items():
        figures[f"{name}_rps"] = round(result.rps, 1)
        figures[f"{name}_p50_ms"] = round(result.ms(0.50), 3)
        figures[f"{name}_p95_ms"] = round(result.ms(0.95), 3)
    for name, floor in (("route", "echo"), ("search", "chain"), ("search", "grpc_chain")):
        ratios = [real / bare for real, bare in zip(results[name].rates, results[floor].rates, strict=True)]
        figures[f"{name}_to_{floor}"] = round(Measured("", ratios).rps, 3)
    return figures


def main() -> None:
    """Parse arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds of each kind of call")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measurement")
    parser.add_argument("--documents", type=int, default=1000, help="documents in the collection that is searched")
    arguments = parser.parse_args()
    figures = asyncio.run(measure(arguments.rounds, arguments.seconds, arguments.documents))
    sys.stdout.write(f"RESULT {json.dumps(figures)}\n")


if __name__ == "__main__":
    main()
