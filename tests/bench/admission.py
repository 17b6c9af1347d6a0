"""What admission costs: `python -m tests.bench.admission`; the last line is `RESULT {json}`.

One region of the local stack with three replicas of the admission service, one process each, over real etcd and Valkey.
In alternating rounds of one run: `echo` is the bare hop; `admit` is `Admit` for tenants with room; `naive` is the same
contract behind the same stages, but every decision asks Redis, in one round trip, for what `Admit` decides: service,
tier, tenant, its day and its month; `naive_flat` asks for one bucket of the tenant (`tests/bench/naive_admission.py`).
`echo_to_naive` and `echo_to_naive_flat` tell how far the bare echo is from them: more no service can gain over them.
`refused` is a call that a full server refuses (`tests/bench/admission_refused.py`). `refused_meanwhile` counts calls of
the others that were refused for want of capacity, as they are on a machine that is busy beside, and then made again.
`redis_trips_per_decision` counts every script that Valkey ran for the service. A lease's decision is measured in
process. At last 2,000 callers at once ask three replicas for far more than some tenants may have.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc
from redis.asyncio import Redis

from tests.bench.admission_lease import lease_figures
from tests.bench.admission_over import OverAdmission, over_admission
from tests.bench.admission_refused import refused_call
from tests.bench.admission_servers import server_process
from tests.bench.echo_server import METHOD
from tests.bench.floor import OPTIONS, ROOM, echo_process, patiently
from tests.bench.load import Call, Measured, latencies, throughput
from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline_local import LocalStack, RegionSpec, Service, StackSpec, open_stack
from trunkline_local.seeding import TenantSeed, seed_map

REGION: Final = "us-east"
IN_FLIGHT: Final = 16
REPLICAS: Final = 3
TENANTS: Final = 16
COST_TOKENS: Final = 5
LIMITED: Final = tuple(f"limited-{number}" for number in range(4))
LIMITED_PER_MINUTE: Final = 600
MAX_REFUSALS: Final = 100

Metadata = tuple[tuple[str, str], ...]


def metadata_of(local: LocalStack, tenant: str) -> Metadata:
    """Return a tenant's credential."""
    return (("authorization", f"Bearer {local.identity.mint('bench', tenant=tenant, lifetime_s=7200)}"),)


def admit_call(channel: grpc.aio.Channel, credentials: Sequence[Metadata]) -> Call:
    """Return a call that admits one search of each tenant in turn."""
    stub, turn = admission_grpc.AdmissionServiceStub(channel), itertools.cycle(credentials)
    request = admission_pb.AdmitRequest(cost_tokens=COST_TOKENS)
    return lambda: stub.Admit(request, metadata=next(turn), timeout=4)


async def scripts_run(client: Redis) -> int:
    """Return how many scripts Valkey has run so far."""
    stats: dict[str, dict[str, int]] = await client.info("commandstats")
    return sum(one["calls"] for name, one in stats.items() if name in ("cmdstat_evalsha", "cmdstat_eval"))


class Persistent:
    """A call that is made again when a busy machine has it refused; counts how often."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.refused = 0

    async def __call__(self) -> object:
        """Return the answer; raises all but refusals for want of capacity, and these after `MAX_REFUSALS`."""
        for _ in range(MAX_REFUSALS):
            try:
                return await self._call()
            except grpc.aio.AioRpcError as exc:
                if exc.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                self.refused += 1
        return await self._call()


class Bench:
    """A running region and the calls to measure in it."""

    def __init__(self, local: LocalStack, stack: AsyncExitStack) -> None:
        self.local = local
        self._stack = stack
        self.redis_url = local.state.regions[0].valkey_url
        self.replicas = [local.state.regions[0].endpoints[Service.ADMISSION]]

    async def prepare(self) -> None:
        """Write tenants and start the other replicas."""
        roomy = [TenantSeed(f"bench-{number}", "enterprise", ["us"], ROOM, ROOM) for number in range(TENANTS)]
        limited = [TenantSeed(name, "enterprise", ["us"], LIMITED_PER_MINUTE) for name in LIMITED]
        operator = self.local.identity.mint("bench-operator", roles=("operator", "admin"))
        await seed_map(self.local.state, operator, tenants=[*roomy, *limited])
        for number in range(1, REPLICAS):
            listener = await self.local.add(f"{REGION}/admission-{number}", REGION, Service.ADMISSION)
            self.replicas.append(listener.endpoint)

    async def calls(self) -> dict[str, Call]:
        """Return one call of each kind, each tried once."""
        credentials = [metadata_of(self.local, f"bench-{number}") for number in range(TENANTS)]
        echo = await self._stack.enter_async_context(echo_process())
        naive, flat = await self._naive(flat=False), await self._naive(flat=True)
        full = await self._server("tests.bench.admission_refused", "TRUNKLINE_FULL_", {})
        payload = admission_pb.AdmitRequest(cost_tokens=COST_TOKENS).SerializeToString()
        method: Any = (await self.channel(echo)).unary_unary(METHOD)
        calls: dict[str, Call] = {
            "echo": partial(method, payload, timeout=4),
            "admit": Persistent(admit_call(await self.channel(self.replicas[0]), credentials)),
            "naive": Persistent(admit_call(await self.channel(naive), credentials)),
            "naive_flat": Persistent(admit_call(await self.channel(flat), credentials)),
            "refused": refused_call(await self.channel(full), credentials[0]),
        }
        for call in calls.values():
            await patiently(call)
        return calls

    async def _naive(self, *, flat: bool) -> str:
        settings = {"REDIS_URL": self.redis_url, "FLAT": str(flat)}
        return await self._server("tests.bench.naive_admission", "TRUNKLINE_NAIVE_", settings)

    async def _server(self, module: str, prefix: str, settings: Mapping[str, str]) -> str:
        return await self._stack.enter_async_context(server_process(self.local, module, prefix, settings))

    async def channel(self, target: str) -> grpc.aio.Channel:
        """Return a channel that lives as long as the bench."""
        return await self._stack.enter_async_context(grpc.aio.insecure_channel(target, options=OPTIONS))


async def in_rounds(calls: dict[str, Call], rounds: int, seconds: float, client: Redis) -> dict[str, Any]:
    """Measure all kinds in turn, several times; return the figures."""
    results = {name: Measured(name) for name in calls}
    trips, decisions = 0, 0
    for call in calls.values():
        await throughput(call, in_flight=IN_FLIGHT, seconds=min(1.0, seconds))
    for number in range(rounds):
        for name, call in calls.items():
            before = await scripts_run(client)
            rate = await throughput(call, in_flight=IN_FLIGHT, seconds=seconds)
            if name == "admit":
                trips, decisions = trips + await scripts_run(client) - before, decisions + round(rate * seconds)
            results[name].rates.append(rate)
            results[name].latencies_ms.extend(await latencies(call, count=200))
            sys.stderr.write(f"round {number + 1}: {name} {rate:.0f}/s\n")
    figures: dict[str, Any] = {f"{name}_rps": round(result.rps, 1) for name, result in results.items()}
    figures |= {
        "admit_to_echo": _ratio(results["admit"], results["echo"]),
        "refused_to_echo": _ratio(results["refused"], results["echo"]),
        "against_naive": _ratio(results["admit"], results["naive"]),
        "against_naive_flat": _ratio(results["admit"], results["naive_flat"]),
        "echo_to_naive": _ratio(results["echo"], results["naive"]),
        "echo_to_naive_flat": _ratio(results["echo"], results["naive_flat"]),
        "p50_ms": round(results["admit"].ms(0.50), 3),
        "p99_ms": round(results["admit"].ms(0.99), 3),
        "echo_p50_ms": round(results["echo"].ms(0.50), 3),
        "naive_p50_ms": round(results["naive"].ms(0.50), 3),
        "naive_p99_ms": round(results["naive"].ms(0.99), 3),
        "redis_trips_per_decision": round(trips / decisions, 4),
        "decisions": decisions,
        "refused_meanwhile": sum(call.refused for call in calls.values() if isinstance(call, Persistent)),
    }
    return figures


def _ratio(real: Measured, floor: Measured) -> float:
    """Return the median of the rounds' ratios: what slows the machine for a round slows both."""
    ratios = [one / other for one, other in zip(real.rates, floor.rates, strict=True)]
    return round(Measured("", ratios).rps, 3)


async def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Run everything and return the figures."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-bench-")))
        spec = StackSpec(
            run_dir=folder / "stack",
            regions=(RegionSpec(region_id=REGION, jurisdiction="us"),),
            learners=False,
            settings={"admission": {"REPLICAS": str(REPLICAS), "MAX_CONCURRENCY": "256", "MAX_QUEUE": "4096"}},
        )
        local = await stack.enter_async_context(open_stack(spec))
        assert await local.wait_serving(within_s=90)
        bench = Bench(local, stack)
        await bench.prepare()
        client = await stack.enter_async_context(Redis.from_url(bench.redis_url))
        figures = await in_rounds(await bench.calls(), asked.rounds, asked.seconds, client)
        over = OverAdmission(
            targets=bench.replicas,
            credentials={name: metadata_of(local, name) for name in LIMITED},
            rate_per_s=LIMITED_PER_MINUTE / 60,
            callers=asked.callers,
            seconds=asked.over_seconds,
        )
        service = local.identity.mint("bench-router", roles=("service",), lifetime_s=7200)
        router = (("authorization", f"Bearer {service}"),)
        tenants = [f"bench-{number}" for number in range(TENANTS)]
        figures |= await lease_figures(await bench.channel(bench.replicas[0]), router, tenants, client)
        figures |= await over_admission(over)
    return figures | {"in_flight": IN_FLIGHT, "replicas": REPLICAS, "rounds": asked.rounds}


def main() -> None:
    """Parse arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds of each kind of call")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measurement")
    parser.add_argument("--callers", type=int, default=2000, help="callers at once that ask for too much")
    parser.add_argument("--over-seconds", type=float, default=10.0, help="for how long they do")
    figures = asyncio.run(measure(parser.parse_args()))
    sys.stdout.write(f"RESULT {json.dumps(figures)}\n")


if __name__ == "__main__":
    main()
