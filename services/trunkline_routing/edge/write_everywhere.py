"""One write in every region of a placement at once; it is done when all of them have it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import CollectionEntry, RegionEntry
from trunkline_mesh.breaker_policy import REGION_POLICY, BreakerPolicy
from trunkline_mesh.breaker_registry import BreakerRegistry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendUnavailable, DomainError, StorageFull, WriteIncomplete
from trunkline_routing.edge.evidence import guarded
from trunkline_routing.edge.model import Choice, Gate
from trunkline_routing.edge.trail import TrailRecorder
from trunkline_routing.edge.trail_attempts import add_attempt

WriteOne = Callable[[RegionEntry, Deadline], Awaitable[None]]

WRITE_POLICY: Final[BreakerPolicy] = replace(REGION_POLICY, slow_call_s=10.0)
"""A region's rules, but a durable write of 64 documents may take longer than a search."""


@dataclass(frozen=True, slots=True)
class Written:
    """A write that every region has."""

    regions: Sequence[tuple[str, float]]
    """Region and the seconds that it took."""
    trail: trail_pb.Trail


class Everywhere:
    """Asks all regions of a placement, each behind its breaker."""

    def __init__(self, breakers: BreakerRegistry, is_out: Callable[[str], bool], *, hop_reserve_s: float) -> None:
        """`is_out` says of a region that it does not serve; `hop_reserve_s` is kept back of each call's time."""
        self._breakers: Final = breakers
        self._is_out: Final = is_out
        self._hop_reserve_s: Final = hop_reserve_s

    async def write(
        self,
        gate: Gate,
        entry: CollectionEntry,
        method: str,
        write: WriteOne,
        trail: TrailRecorder,
        deadline: Deadline,
    ) -> Written:
        """Write to all regions at once; each error is kept, so that one region's does not cancel the others.

        The write counts as soon as one has it, and where the caller gives up while they are asked: they may have it
        then. Raises WriteIncomplete unless all have it, or what every region says alike.
        """
        account = trail.collection(Choice(entry, 1.0))
        share = deadline.within(deadline.remaining_s(), reserve_s=self._hop_reserve_s)
        with trail.stage(trail_pb.STAGE_NAME_WRITE, share):
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(self._one(gate, name, method, write, trail, share))
                        for name in entry.placement
                    ]
            except asyncio.CancelledError:
                trail.written = True
                raise
        outcomes = [task.result() for task in tasks]
        failed: list[tuple[str, DomainError]] = []
        for name, (elapsed_s, error) in zip(entry.placement, outcomes, strict=True):
            outcome = trail_pb.ATTEMPT_OUTCOME_FAILED if error else trail_pb.ATTEMPT_OUTCOME_SERVED
            add_attempt(account, name, outcome, error=error, elapsed_s=elapsed_s)
            if error is not None:
                failed.append((name, error))
        if failed:
            raise _incomplete(entry, failed)
        regions = [(name, elapsed_s) for name, (elapsed_s, _) in zip(entry.placement, outcomes, strict=True)]
        return Written(regions, trail.finish(explain=False))

    async def _one(
        self, gate: Gate, region_id: str, method: str, write: WriteOne, trail: TrailRecorder, deadline: Deadline
    ) -> tuple[float, DomainError | None]:
        began_s = time.perf_counter()
        region = gate.snapshot.region(region_id)
        if region is None:
            return 0.0, BackendUnavailable("a region of the placement is not in the map")
        breaker = self._breakers.get("retrieval", region_id, method, WRITE_POLICY)
        error: DomainError | None = None
        try:
            await guarded(breaker, lambda: write(region, deadline), is_out=lambda: self._is_out(region_id))
            trail.written = True
        except DomainError as exc:
            error = exc
        return time.perf_counter() - began_s, error


def _incomplete(entry: CollectionEntry, failed: Sequence[tuple[str, DomainError]]) -> DomainError:
    """A caller's fault stays what it is; a full store says so; anything else asks for a repeat with the same id."""
    first = failed[0][1]
    everywhere = len(failed) == len(entry.placement)
    if everywhere and (not first.retryable or isinstance(first, StorageFull)):
        return first
    return WriteIncomplete(
        retry_delay_s=1.0,
        metadata={"collection": entry.collection_id, "failedRegions": ",".join(name for name, _ in failed)},
    )
