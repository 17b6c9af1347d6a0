"""Three regions with their map and documents, as the chaos commands disturb them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos import stack_world as world
from tests.chaos.load_answer import Account
from tests.chaos.load_asker import Asker
from tests.chaos.load_process import LoadProcess
from tests.chaos.load_spec import LoadSpec, Stream
from trunkline_client import ControlClient, TrunklineClient, TrunklineError
from trunkline_local import Layout, LocalStack, Service, StackSpec, marked_processes, open_stack
from trunkline_local.seeding import seed_map

DEADLINE_S: Final = 2.0
"""What callers give a search: the client's default."""
START_WITHIN_S: Final = 180.0
CALM: Final = {"control": {"CHANGE_FREEZE": "false"}}
"""Failures are made here on purpose: no error budget shall stop the changes that chaos needs."""
_POLL_S: Final = 0.1
_TOKEN_LIFETIME_S: Final = 24 * 3600.0


@dataclass(frozen=True)
class ChaosStack:
    """A running stack that holds the world of `stack_world`."""

    local: LocalStack
    map_token: bytes

    def router(self, region_id: str) -> str:
        """Return `host:port` of a region's router."""
        region = self.local.state.region(region_id)
        assert region is not None
        return region.endpoints[Service.ROUTING]

    def control(self) -> ControlClient:
        """Return a client of the control role with an operator's credential."""
        token = self.local.identity.mint("operator", roles=("operator", "admin"), lifetime_s=_TOKEN_LIFETIME_S)
        return ControlClient([self.local.state.control_endpoint], token)

    def streams(self, rps: float, *, routers: Mapping[str, str] | None = None) -> tuple[Stream, ...]:
        """Return the callers; `routers` are addresses by region that differ from the stack's own."""
        tenants = [seed.tenant_id for seed in world.TENANTS]
        tokens = {each: self.local.identity.mint("load", tenant=each, lifetime_s=_TOKEN_LIFETIME_S) for each in tenants}
        addresses = {region: self.router(region) for region in world.REGIONS} | dict(routers or {})
        return world.streams(tokens, addresses, rps)

    async def capacity(self, *, in_flight: int, seconds: float, seed: int) -> Account:
        """Measure how many answers a second a closed loop of callers gets in full, with the very mix of the load.

        More callers than the model server can embed for would only measure answers without vectors.
        """
        spec = LoadSpec(streams=self.streams(1.0), seed=seed, closed_in_flight=in_flight, seconds=seconds)
        async with LoadProcess(spec) as load:
            return await load.account()

    async def rehearse(self) -> None:
        """Ask every question of every caller once, until each was answered as it should be.

        So a wrong answer under chaos is the chaos's, and caches are warm. Raises AssertionError with the last answer.
        """
        async with AsyncExitStack() as stack:
            askers = [await stack.enter_async_context(Asker(stream, 2 * DEADLINE_S)) for stream in self.streams(1.0)]
            await asyncio.gather(*(_rehearse(asker) for asker in askers))


@asynccontextmanager
async def open_chaos_stack(run_dir: Path, layout: Layout) -> AsyncIterator[ChaosStack]:
    """Start the stack, write the map and the documents, and wait until everything serves. Leaves no process behind."""
    async with open_stack(StackSpec(run_dir=run_dir, layout=layout, learners=False, settings=CALM)) as local:
        run_id = local.state.run_id
        operator = local.identity.mint("operator", roles=("operator", "admin"))
        map_token = await seed_map(local.state, operator, tenants=world.TENANTS, collections=world.COLLECTIONS)
        if not await local.wait_serving(within_s=START_WITHIN_S):
            raise TimeoutError(f"the stack did not serve within {START_WITHIN_S:g} s")
        stack = ChaosStack(local, map_token)
        for seed in world.COLLECTIONS:
            await _write(stack, seed.tenant_id, seed.collection_id, seed.placement)
        await stack.rehearse()
        yield stack
    assert marked_processes(run_id) == []


async def _write(stack: ChaosStack, tenant: str, collection: str, placement: Sequence[str]) -> None:
    token = stack.local.identity.mint("writer", tenant=tenant)
    documents = world.documents(tenant, collection)
    give_up_s = time.monotonic() + START_WITHIN_S
    async with TrunklineClient([f"{placement[0]}={stack.router(placement[0])}"], token) as client:
        while True:
            try:
                await client.upsert(collection, documents, map_token=stack.map_token, deadline_s=30.0)
            except TrunklineError:  # not ready yet: every region of the placement must take it
                if time.monotonic() > give_up_s:
                    raise
                await asyncio.sleep(_POLL_S)
            else:
                return


async def _rehearse(asker: Asker) -> None:
    give_up_s = time.monotonic() + START_WITHIN_S
    for question in asker.stream.questions:
        while not (answer := await asker.ask(question, time.monotonic())).full:
            assert time.monotonic() < give_up_s, answer
            await asyncio.sleep(_POLL_S)
