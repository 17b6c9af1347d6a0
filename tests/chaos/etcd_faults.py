"""What is done to etcd and to the ways to it, one thing at a time, each undone again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tests.chaos.etcd_cluster import compact, leader_of
from tests.chaos.etcd_ledger import Ledger
from tests.chaos.etcd_world import MEMBERS, World

RECOVERED_WITHIN_S: Final = 30.0
LEADER_WITHIN_S: Final = 15.0
COMPACT_AFTER: Final = 5
"""Changes that a router misses before history is compacted behind its back."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One disturbance: a context that does it, is held for a while, and undoes it."""

    name: str
    hold_s: float
    does: Callable[[World, Ledger], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Done:
    """When a fault was there, by the monotonic clock."""

    name: str
    start_s: float
    healed_s: float
    writable_s: float
    """When the first change after it was acknowledged; infinite if none was in time."""
    end_s: float
    """When every router had that change, too; infinite if not in time."""


def plan(rng: random.Random, *, quick: bool) -> Sequence[Fault]:
    """Return the disturbances of one round, members in random order. A pause outlasts the 7 s until it is noticed."""
    members = rng.sample(range(MEMBERS), 1 if quick else MEMBERS)
    hold_s = 1.0 if quick else 3.0
    return (
        *(Fault("kill_member", hold_s, _kill([index])) for index in members),
        Fault("kill_leader", hold_s, _kill_leader),
        Fault("pause_leader", 9.0, _pause_leader),
        Fault("lose_quorum", 3.0 if quick else 8.0, _kill(rng.sample(range(MEMBERS), 2))),
        Fault("cut_streams", 4.0 if quick else 10.0, _chop),
        Fault("compact", 2.0 if quick else 4.0, _compact),
        Fault("part_retrieval", 2.0 if quick else 5.0, _part_retrieval),
    )


def names() -> Sequence[str]:
    """Return what disturbances are called."""
    return tuple(fault.name for fault in plan(random.Random(0), quick=True))


async def disturb(fault: Fault, world: World, ledger: Ledger) -> Done:
    """Do it, hold it, undo it, and wait until changes are taken and seen again."""
    start_s = time.monotonic()
    async with fault.does(world, ledger):
        await asyncio.sleep(fault.hold_s)
    healed_s = time.monotonic()
    writable_s = end_s = float("inf")
    if await ledger.wait_done(1, since_s=healed_s, within_s=RECOVERED_WITHIN_S):
        writable_s = time.monotonic()
        if await world.caught_up(ledger.map_token, within_s=RECOVERED_WITHIN_S):
            end_s = time.monotonic()
    return Done(fault.name, start_s, healed_s, writable_s, end_s)


def _kill(members: Sequence[int]) -> Callable[[World, Ledger], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def act(world: World, _: Ledger) -> AsyncIterator[None]:
        names = [f"etcd-{index}" for index in members]
        await world.local.kill(*names)
        try:
            yield
        finally:
            await world.local.start(*names)

    return act


@asynccontextmanager
async def _kill_leader(world: World, ledger: Ledger) -> AsyncIterator[None]:
    async with _kill([await _leader(world)])(world, ledger):
        yield


@asynccontextmanager
async def _pause_leader(world: World, _: Ledger) -> AsyncIterator[None]:
    name = f"etcd-{await _leader(world)}"
    world.local.pause(name)
    try:
        yield
    finally:
        world.local.resume(name)


@asynccontextmanager
async def _chop(world: World, _: Ledger) -> AsyncIterator[None]:
    for proxy in world.proxies:
        proxy.chop()
    try:
        yield
    finally:
        for proxy in world.proxies:
            proxy.heal()


@asynccontextmanager
async def _part_retrieval(world: World, _: Ledger) -> AsyncIterator[None]:
    """Keep retrieval away from etcd while the routers' maps go on."""
    for proxy in world.retrieval_proxies:
        proxy.close()
    try:
        yield
    finally:
        for proxy in world.retrieval_proxies:
            proxy.heal()


@asynccontextmanager
async def _compact(world: World, ledger: Ledger) -> AsyncIterator[None]:
    """Keep the routers away from etcd while the map changes, and forget what they missed before they come back."""
    for proxy in world.router_proxies:
        proxy.close()
    try:
        yield
        await ledger.wait_done(COMPACT_AFTER, since_s=time.monotonic(), within_s=RECOVERED_WITHIN_S)
        await compact(world.etcd)
    finally:
        for proxy in world.proxies:
            proxy.heal()


async def _leader(world: World) -> int:
    give_up_s = time.monotonic() + LEADER_WITHIN_S
    while True:
        index = await leader_of(world.etcd)
        if index is not None:
            return index
        if time.monotonic() > give_up_s:
            raise TimeoutError("etcd has no leader")
        await asyncio.sleep(0.1)
