"""Who is there when a region is overloaded, and how its capacity is pinned.

The router lets `SLOTS` searches run at once and each takes `DELAY_S`, which a proxy before the region's retrieval
service adds without using a core: about 60 a second, so that the queue is measured and not the machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from tests.chaos.overload_spec import Caller
from tests.fixtures.proxy import TcpProxy
from trunkline_client import ControlClient, Document, TrunklineClient
from trunkline_local import LocalStack, RegionSpec, Service, StackSpec, open_stack
from trunkline_local.seeding import CollectionSeed, TenantSeed, seed_map
from trunkline_tiers import TierFile, default_tiers_text, parse_tiers

REGION: Final = "us-east"
COLLECTION: Final = "handbook"
QUESTION: Final = "What warns ships of rocks at night?"
DOCUMENTS: Final = (
    Document("lighthouse", "A lighthouse warns ships of rocks at night."),
    Document("volcano", "A volcano throws out lava and ash."),
    Document("glacier", "A glacier is a river of ice in the mountains."),
)
SLOTS: Final = 15
RESERVED_SLOTS: Final = 2
DELAY_S: Final = 0.235
DEADLINES_S: Final = {"free": 5.0, "pro": 2.0, "enterprise": 2.0}
FREE_FLOODERS: Final = 500
WRITERS: Final = 4
PINNED: Final = {"ADAPTIVE_CONCURRENCY": "false", "HEDGE_SHARE": "0"}
"""Nothing but the slots may decide how much is done: neither a limit that adapts nor calls made twice."""
OVERLOAD: Final = 10.0
"""Times the capacity that flooders ask for together."""
QUIET: Final[Mapping[str, tuple[int, float]]] = {"free": (3, 1.0), "pro": (8, 1.0), "enterprise": (10, 1.2)}
"""Tenants of each tier that never flood, and what each asks for a second: within what its tier is promised. Each has
0.3 calls under way on the mean, so that also with one flooder beside them few have more than their part at once."""
FLOODER_TIERS: Final = ("pro", "enterprise")


@dataclass(frozen=True)
class OverloadStack:
    """A running region with pinned capacity."""

    local: LocalStack
    tokens: Mapping[str, str]
    """Credentials by tenant."""
    tiers: TierFile

    @property
    def router(self) -> str:
        """Address of the router."""
        return self.local.state.regions[0].endpoints[Service.ROUTING]

    def quiet(self) -> list[Caller]:
        """Return those who never flood."""
        return [self._caller(name, tier, QUIET[tier][1]) for name, tier in quiet_tenants()]

    def flood(self, tier: str, rps: float) -> list[Caller]:
        """Return the flooders of a tier, who ask for `rps` together."""
        names = [name for name, of in flooding_tenants() if of == tier]
        return [self._caller(name, tier, rps / len(names), flooder=True) for name in names]

    def _caller(self, tenant: str, tier: str, rps: float, *, flooder: bool = False) -> Caller:
        return Caller(tenant=tenant, tier=tier, token=self.tokens[tenant], rps=rps, flooder=flooder)


def quiet_tenants() -> list[tuple[str, str]]:
    """Return names and tiers of those who never flood."""
    return [(f"{tier}-{number}", tier) for tier, (count, _) in QUIET.items() for number in range(count)]


def flooding_tenants() -> list[tuple[str, str]]:
    """Return names and tiers of the flooders: many free ones, one of each other tier."""
    free = [(f"flood-{number}", "free") for number in range(FREE_FLOODERS)]
    return free + [(f"flood-{tier}", tier) for tier in FLOODER_TIERS]


def roomy_tiers() -> str:
    """Return the default tier file with quotas and in-flight caps that let a flood through to the queue.

    Ranks, weights, queues, promises and levels stay: capacity alone has to protect the others.
    """
    content = yaml.safe_load(default_tiers_text())
    for tier in content["tiers"].values():
        tier["tenant"] |= {"requests_per_day": 10**9, "requests_per_minute": 10**6}
        tier["pool"] |= {"requests_per_day": 10**12}
        tier["capacity"] |= {"in_flight_per_key": 100_000, "in_flight_per_instance": 100_000}
    return yaml.safe_dump(content)


@asynccontextmanager
async def open_overload_stack(folder: Path) -> AsyncIterator[OverloadStack]:
    """Start one region, write tenants and documents, and put the delay before retrieval."""
    tiers_path = folder / "tiers.yaml"
    tiers_path.write_text(roomy_tiers(), encoding="utf-8")
    common = {"TIERS_PATH": str(tiers_path)}
    spec = StackSpec(
        run_dir=folder / "run",
        regions=(RegionSpec(region_id=REGION, jurisdiction="us"),),
        learners=False,
        settings={
            "routing": common
            | {"MAX_CONCURRENCY": str(SLOTS), "MAX_QUEUE": "2000", "RESERVED_SLOTS": str(RESERVED_SLOTS)}
            | PINNED,
            **dict.fromkeys(("retrieval", "rerank", "inference", "admission"), common),
            "control": common | {"CHANGE_FREEZE": "false"},
        },
    )
    async with open_stack(spec) as local:
        if not await local.wait_serving(within_s=180.0):
            raise TimeoutError("the region did not serve in time")
        tenants = quiet_tenants() + flooding_tenants()
        await _seed(local, tenants)
        tokens = {name: local.identity.mint("load", tenant=name, lifetime_s=7200) for name, _ in tenants}
        await _write(local, tokens)
        async with _delayed(local):
            yield OverloadStack(local, tokens, parse_tiers(roomy_tiers()))


async def _seed(local: LocalStack, tenants: Sequence[tuple[str, str]]) -> None:
    await seed_map(
        local.state,
        local.identity.mint("operator", roles=("operator", "admin")),
        tenants=[TenantSeed(name, tier, ["us"]) for name, tier in tenants],
        collections=[CollectionSeed(name, COLLECTION, [REGION]) for name, _ in tenants],
    )


async def _write(local: LocalStack, tokens: Mapping[str, str]) -> None:
    """Write documents for every tenant, the same ones; a few tenants at a time."""
    router = local.state.regions[0].endpoints[Service.ROUTING]
    few = asyncio.Semaphore(WRITERS)

    async def write(token: str) -> None:
        async with few, TrunklineClient([f"{REGION}={router}"], token) as client:
            await client.upsert(COLLECTION, DOCUMENTS, deadline_s=60)

    async with asyncio.TaskGroup() as group:
        for token in tokens.values():
            group.create_task(write(token))


@asynccontextmanager
async def _delayed(local: LocalStack) -> AsyncIterator[None]:
    """Let the map name a proxy in retrieval's place."""
    operator = local.identity.mint("operator", roles=("operator", "admin"))
    async with (
        TcpProxy(local.state.regions[0].endpoints[Service.RETRIEVAL]) as proxy,
        ControlClient([local.state.control_endpoint], operator) as control,
    ):
        region = (await control.region(REGION)).value
        region.endpoints.retrieval[:] = [proxy.address]
        await control.put_region(region)
        proxy.faults.delay_s = DELAY_S / 2
        yield
