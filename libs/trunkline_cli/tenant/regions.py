"""Asks the admission services of regions, all at once; a region that does not answer is told, and hides no other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_cli.exits import CliError, explain
from trunkline_cli.output import Output
from trunkline_cli.target import Target
from trunkline_client import ControlClient, TrunklineError, UsageClient

MAX_AT_ONCE: Final = 16

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class Told(Generic[AnswerT]):
    """What one region answered."""

    region: str
    answer: AnswerT | None
    """None if it did not."""
    problem: str = ""
    """Why it did not."""


async def allowed_regions(client: ControlClient, jurisdictions: Collection[str] | None) -> Sequence[entries_pb.Region]:
    """Return the map's regions inside the jurisdictions; all of them for None. Raises TrunklineError."""
    regions = (await client.regions()).value
    return [each for each in regions if jurisdictions is None or each.jurisdiction in jurisdictions]


async def ask_regions(
    target: Target, regions: Sequence[entries_pb.Region], ask: Callable[[UsageClient], Awaitable[AnswerT]]
) -> Sequence[Told[AnswerT]]:
    """Return what each region says, in the order of the regions. Raises CliError where nobody can be asked."""
    if not regions:
        raise CliError("no region of the map is allowed for the tenant")
    turns = asyncio.Semaphore(MAX_AT_ONCE)

    async def one(region: entries_pb.Region) -> Told[AnswerT]:
        endpoints = list(region.endpoints.admission)
        if not endpoints:
            return Told(region.region_id, None, "the map names no admission service of it")
        async with turns, target.usage(endpoints) as client:
            try:
                return Told(region.region_id, await ask(client))
            except TrunklineError as exc:
                failure = explain(exc)
                return Told(region.region_id, None, f"{exc.reason}: {failure.message}" if failure else str(exc))

    return await asyncio.gather(*map(one, regions))


def show_problems(out: Output, told: Sequence[Told[AnswerT]]) -> bool:
    """Print the regions that did not answer; return True if there are any."""
    for each in told:
        if each.answer is None:
            out.line(f"region {each.region}: {each.problem}", style="yellow")
    return any(each.answer is None for each in told)
