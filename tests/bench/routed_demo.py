"""Deciding end to end: the demonstration's policies and questions, asked of `Route` in a local stack of three regions.

The share decided by rules is taken over the demonstration's own questions, once each. Times are what the caller sees,
and rest on more texts: every question is also asked in other words around it, so that neither its decision nor its
vector is remembered. No documents are needed.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc

from tests.bench.floor import OPTIONS, patiently
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from trunkline_cli.demo.scenario import QUESTIONS, TENANTS
from trunkline_cli.demo.world import seed
from trunkline_local import LocalStack, Service, StackSpec, open_stack

PHRASINGS: Final = (
    "{}",
    "Please tell me: {}",
    "I would like to know this. {}",
    "A colleague asks: {}",
    "{} Thanks.",
    "Quick question - {}",
    "For a small tool of mine: {}",
    "{} A short answer is enough.",
)
RULES: Final = trail_pb.STRATEGY_RULES
SEMANTIC: Final = trail_pb.STRATEGY_SEMANTIC
READY_WITHIN_S: Final = 120.0


@dataclass(slots=True)
class Tally:
    """What was seen of the decisions."""

    strategies: Counter[str] = field(default_factory=Counter)
    """Of the demonstration's own questions, once each."""
    taken_ms: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    cost_units: list[float] = field(default_factory=list)


class Asker:
    """Asks the router near each tenant."""

    def __init__(self, stack: AsyncExitStack, local: LocalStack) -> None:
        """Open channels when they are needed; `stack` closes them."""
        self._stack = stack
        self._local = local
        self._stubs: dict[str, tuple[Any, Any]] = {}

    async def route(self, tenant_id: str, text: str) -> tuple[routing_pb.RouteResponse, float]:
        """Return the decision and the milliseconds that it took the caller."""
        stub, metadata = await self._stub(tenant_id)
        began_s = time.perf_counter()
        answer = await stub.Route(routing_pb.RouteRequest(text=text), timeout=5, metadata=metadata)
        return answer, (time.perf_counter() - began_s) * 1000

    async def _stub(self, tenant_id: str) -> tuple[Any, Any]:
        if tenant_id not in self._stubs:
            near = next(tenant.near for tenant in TENANTS if tenant.tenant_id == tenant_id)
            region = self._local.state.region(near)
            assert region is not None
            target = region.endpoints[Service.ROUTING]
            channel = await self._stack.enter_async_context(grpc.aio.insecure_channel(target, options=OPTIONS))
            token = self._local.identity.mint("bench", tenant=tenant_id)
            self._stubs[tenant_id] = routing_grpc.RoutingServiceStub(channel), (("authorization", f"Bearer {token}"),)
        return self._stubs[tenant_id]


async def await_semantics(asker: Asker) -> None:
    """Wait until every tenant's near router decides with its semantics, or by rules where there are no others."""
    for tenant_id in sorted({question.tenant_id for question in QUESTIONS}):
        until_s = time.monotonic() + READY_WITHIN_S
        for number in range(10_000):
            text = f"Is this policy ready yet? {number}"
            answer, _ = await patiently(partial(asker.route, tenant_id, text))
            if not answer.trail.degradations:
                break
            if time.monotonic() > until_s:
                raise TimeoutError(f"{tenant_id}: {answer.trail.degradations}")
            await asyncio.sleep(0.2)


async def ask_all(asker: Asker) -> Tally:
    """Ask everything in every phrasing."""
    tally = Tally()
    asked = list(dict.fromkeys((question.tenant_id, question.text) for question in QUESTIONS))
    for number, phrasing in enumerate(PHRASINGS):
        for tenant_id, text in asked:
            answer, taken_ms = await asker.route(tenant_id, phrasing.format(text))
            decision = answer.trail.decision
            if number == 0:
                tally.strategies[trail_pb.Strategy.Name(decision.strategy).removeprefix("STRATEGY_")] += 1
            if not decision.cached:
                tally.taken_ms[decision.strategy].append(taken_ms)
                tally.cost_units.append(decision.cost_units)
        sys.stderr.write(f"\rend to end: phrasing {number + 1}/{len(PHRASINGS)}")
    sys.stderr.write("\n")
    return tally


def p95(values: list[float]) -> float | None:
    """Return the 95th percentile, None without values."""
    return round(sorted(values)[min(len(values) - 1, int(0.95 * len(values)))], 3) if values else None


async def measure_demo() -> dict[str, Any]:
    """Run everything; return the figures of `end_to_end`."""
    async with AsyncExitStack() as stack:
        run_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-bench-")))
        local = await stack.enter_async_context(open_stack(StackSpec(run_dir=run_dir / "stack")))
        assert await local.wait_serving(within_s=120)
        await seed(local)
        asker = Asker(stack, local)
        await await_semantics(asker)
        tally = await ask_all(asker)
    questions = tally.strategies.total()
    return {
        "questions": questions,
        "decided_by": dict(tally.strategies),
        "logical_hit_rate": round(tally.strategies["RULES"] / questions, 4),
        "logical_p95_ms": p95(tally.taken_ms[RULES]),
        "logical_samples": len(tally.taken_ms[RULES]),
        "semantic_p95_ms": p95(tally.taken_ms[SEMANTIC]),
        "semantic_samples": len(tally.taken_ms[SEMANTIC]),
        "cost_per_1000": round(1000 * statistics.fmean(tally.cost_units), 1),
    }


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(measure_demo())}\n")
