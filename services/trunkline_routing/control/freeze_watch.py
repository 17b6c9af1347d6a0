"""Asks the regions' admission services how they keep their promises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from trunkline.admission.v1 import usage_service_pb2 as usage_pb
from trunkline.admission.v1 import usage_service_pb2_grpc as usage_grpc
from trunkline_map.entries import RegionEntry
from trunkline_map.source import MapSource
from trunkline_mesh.calls import Metadata, call
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError
from trunkline_mesh.identity import ServiceToken
from trunkline_mesh.logs import get_logger
from trunkline_mesh.metrics import gauge
from trunkline_mesh.request import AUTHORIZATION_KEY
from trunkline_routing.control.freeze import Freeze, Promised
from trunkline_tiers.error_budget import Action

POLL_S: Final = 10.0
"""Regions are asked so often."""
ASK_TIMEOUT_S: Final = 2.0
AT_ONCE: Final = 16
"""Regions that are asked at a time."""

Ask = Callable[[RegionEntry], Awaitable[Sequence[Promised]]]
"""Asks one region. Raises DomainError; bounds its time itself."""

_FROZEN: Final = gauge("control_freeze", "What error budgets say about changes: 1 review to 4 violated.", ("tier",))

log = get_logger("control.freeze")


class FreezeWatch:
    """Keeps a `Freeze` up to date."""

    def __init__(self, source: MapSource, freeze: Freeze, ask: Ask) -> None:
        """Ask the regions that `source` has."""
        self._source = source
        self._freeze = freeze
        self._ask = ask
        self._told: dict[str, Action] = {}

    async def run(self) -> None:
        """Ask every POLL_S seconds until cancelled, first as soon as there is a map."""
        with suppress(DomainError):
            await self._source.at_least(b"", Deadline.after(POLL_S))
        while True:
            await self.poll()
            await asyncio.sleep(POLL_S)

    async def poll(self) -> None:
        """Ask all regions once; those that do not answer are passed over."""
        if not self._source.ready():
            return
        regions, room = self._source.snapshot.regions(), asyncio.Semaphore(AT_ONCE)

        async def ask(region: RegionEntry) -> None:
            async with room:
                try:
                    self._freeze.answered(region.region_id, await self._ask(region))
                except DomainError as exc:
                    log.info(
                        "a region tells nothing of its promises",
                        dependency=region.region_id,
                        error_type=type(exc).__name__,
                    )

        await asyncio.gather(*(ask(region) for region in regions if region.admission_endpoints))
        self._freeze.judge(regions)
        self._tell()

    def _tell(self) -> None:
        now = {name: each.action for name, each in self._freeze.standing().items()}
        for name in {*now, *self._told}:
            action = now.get(name, Action.NONE)
            _FROZEN.labels(name).set(action)
            if action is not self._told.get(name, Action.NONE):
                log.warning("error budget's word on changes", tier=name, state=action.name)
        self._told = now


def asker(channels: ChannelPool, token: ServiceToken) -> Ask:
    """Return what asks a region's admission service with this service's own credential."""

    async def ask(region: RegionEntry) -> Sequence[Promised]:
        channel = channels.get(",".join(region.admission_endpoints))
        metadata: Metadata = ((AUTHORIZATION_KEY, token.header()),)
        method = usage_grpc.UsageServiceStub(channel).GetObjectives
        deadline = Deadline.after(ASK_TIMEOUT_S)
        answer = await call(method, usage_pb.GetObjectivesRequest(), deadline=deadline, metadata=metadata)
        return [_promised(each) for each in answer.objectives]

    return ask


def _promised(told: usage_pb.Objective) -> Promised:
    # A newer admission may know an action that this role does not: the worst, then.
    action = Action(min(told.action, Action.VIOLATED))
    return Promised(told.name, told.tier, told.calls, told.errors, action)
