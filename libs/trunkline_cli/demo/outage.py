"""Kills a region while queries run, and shows what happens to them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from trunkline_cli.demo.scenario import (
    LOST_REGION,
    OTHER_REGION,
    PRIVATE_COLLECTION,
    PRIVATE_QUESTION,
    STEADY_QUESTIONS,
)
from trunkline_cli.demo.tally import Tally, percentile, read_caches
from trunkline_cli.output import Output
from trunkline_client import ResidencyRefused, SearchResult, TrunklineClient, TrunklineError

if TYPE_CHECKING:
    from trunkline_local import LocalStack

_WORKERS: Final = 2
_PAUSE_S: Final = 0.05
_DEADLINE_S: Final = 5.0
_WAIT_S: Final = 90.0
_ENOUGH: Final = 30


@dataclass(slots=True)
class Traffic:
    """Queries that run all the time, and where they were answered since the last mark."""

    client: TrunklineClient
    tally: Tally
    served: Counter[str] = field(default_factory=Counter)
    elapsed_s: list[float] = field(default_factory=list)
    degraded: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def mark(self) -> None:
        """Count from now on."""
        async with self._changed:
            self.served.clear()
            self.elapsed_s.clear()
            self.degraded.clear()
            self.errors.clear()

    async def until(self, holds: Callable[[], bool]) -> bool:
        """Wait until this holds; False after 90 seconds."""
        try:
            async with asyncio.timeout(_WAIT_S), self._changed:
                await self._changed.wait_for(holds)
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Ask one question after the other until cancelled."""
        for text in itertools.cycle(STEADY_QUESTIONS):
            began_s = time.monotonic()
            try:
                result = await self.client.search(text, top_k=3, deadline_s=_DEADLINE_S)
            except TrunklineError as exc:
                await self._note(None, exc.reason or exc.status, began_s)
            else:
                await self._note(result, "", began_s)
            await asyncio.sleep(_PAUSE_S)

    async def _note(self, result: SearchResult | None, error: str, began_s: float) -> None:
        elapsed_s = time.monotonic() - began_s
        async with self._changed:
            if result is None:
                self.errors[error] += 1
                self.tally.errors[error] += 1
            else:
                self.served.update(item.served_region for item in result.trail.collections)
                self.degraded.update(item.reason for item in result.trail.degradations)
                self.elapsed_s.append(elapsed_s)
                self.tally.elapsed_s.append(elapsed_s)
            self._changed.notify_all()

    def line(self) -> str:
        """Return what was counted since the mark."""
        where = ", ".join(f"{region} {count}" for region, count in self.served.most_common())
        slowest = f"{percentile(self.elapsed_s, 1.0) * 1000:.0f} ms" if self.elapsed_s else "none"
        return f"{len(self.elapsed_s)} answered ({where}), slowest {slowest}, {self.errors.total()} errors"


@asynccontextmanager
async def traffic(client: TrunklineClient, tally: Tally) -> AsyncIterator[Traffic]:
    """Keep queries running for the length of a block."""
    running = Traffic(client, tally)
    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(running.run()) for _ in range(_WORKERS)]
        try:
            yield running
        finally:
            for worker in workers:
                worker.cancel()


async def lose_a_region(out: Output, stack: LocalStack, client: TrunklineClient, tally: Tally) -> None:
    """Kill a region under traffic, ask for what only it may hold, start it again, and see it used."""
    out.line(f"Queries run all the time; now {LOST_REGION} is killed (kill -9 on all of its processes).", style="bold")
    async with traffic(client, tally) as flow:
        before = await flow.until(lambda: flow.served[LOST_REGION] >= _ENOUGH)
        tally.check(before, f"no query was answered in {LOST_REGION} before its loss")
        out.line(f"   before     {flow.line()}")
        tally.cache.update(
            await read_caches(region for region in stack.state.regions if region.region_id == LOST_REGION)
        )
        await flow.mark()
        await stack.kill_region(LOST_REGION)
        after = await flow.until(lambda: flow.served[OTHER_REGION] >= _ENOUGH)
        tally.check(after, f"queries did not go on in {OTHER_REGION}")
        out.line(f"   lost       {flow.line()}")
        for reason, count in flow.degraded.most_common(3):
            out.line(f"              {reason} in {count} answers", style="yellow")
        await _ask_for_private(out, client, tally)
        await flow.mark()
        began_s = time.monotonic()
        await stack.start_region(LOST_REGION)
        back = await flow.until(lambda: flow.served[LOST_REGION] >= _ENOUGH)
        tally.check(back, f"{LOST_REGION} was not used again")
        out.line(f"   back       {flow.line()}; used again within {time.monotonic() - began_s:.1f} s of its start")
    tally.check(not flow.errors, "queries failed while the region was lost or came back")
    await _ask_for_private_again(out, client, tally)


async def _ask_for_private(out: Output, client: TrunklineClient, tally: Tally) -> None:
    out.line(f"   Meanwhile a question for {PRIVATE_COLLECTION}, whose data may be in the EU alone:")
    try:
        result = await client.search(PRIVATE_QUESTION, collections=[PRIVATE_COLLECTION], deadline_s=_DEADLINE_S)
    except ResidencyRefused as exc:
        tally.refusals[exc.reason] += 1
        out.line(f"   refused    {exc.reason}: {exc.message}", style="yellow")
        out.line(f"              allowed regions: {exc.metadata.get('allowedRegions', '')}")
        for attempt in exc.attempts:
            out.line(f"              tried {attempt}")
    else:
        tally.check(False, f"{PRIVATE_COLLECTION} was answered in {result.trail.router_region} while the EU was away")


async def _ask_for_private_again(out: Output, client: TrunklineClient, tally: Tally) -> None:
    result = await client.search(PRIVATE_QUESTION, collections=[PRIVATE_COLLECTION], deadline_s=_DEADLINE_S)
    served = [item.served_region for item in result.trail.collections]
    tally.check(served == [LOST_REGION], f"{PRIVATE_COLLECTION} was answered in {served}")
    out.line(f"   The same question for {PRIVATE_COLLECTION} now: {len(result.hits)} hits from {', '.join(served)}.")
