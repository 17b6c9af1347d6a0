"""What is done to the victim, and how it is undone. Each fault tells when its effect began and ended."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import ClassVar, Final, Self

from tests.chaos.stack import ChaosStack
from tests.fixtures.proxy import TcpProxy
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_local import Service

RAMP_S: Final = 10.0


class Fault(ABC):
    """One way to lose a region. Use it as an async context manager around the load: what it prepared is undone."""

    name: ClassVar[str]
    least_s: ClassVar[float] = 0.0
    """Shortest time for which it says something."""

    def __init__(self, stack: ChaosStack, victim: str) -> None:
        self.stack: Final = stack
        self.victim: Final = victim

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    @property
    def routers(self) -> Mapping[str, str]:
        """Return where callers reach routers that are not to be asked at their own address."""
        return {}

    @abstractmethod
    async def begin(self) -> float:
        """Do it; return the moment of the monotonic clock at which it began."""

    @abstractmethod
    async def end(self) -> float:
        """Undo it; return the moment at which the region was there again."""


class Kill(Fault):
    """`kill -9` of every process of the region at one moment; started again on the same ports and data."""

    name = "kill"

    async def begin(self) -> float:
        """Kill."""
        began_s = time.monotonic()
        await self.stack.local.kill_region(self.victim)
        return began_s

    async def end(self) -> float:
        """Start again; over when every process answers."""
        await self.stack.local.start_region(self.victim)
        return time.monotonic()


class Pause(Fault):
    """SIGSTOP to every process of the region: connections stay open and nothing answers."""

    name = "pause"
    least_s = 20.0

    async def begin(self) -> float:
        """Freeze."""
        began_s = time.monotonic()
        self.stack.local.pause_region(self.victim)
        return began_s

    async def end(self) -> float:
        """Let go on."""
        self.stack.local.resume_region(self.victim)
        return time.monotonic()


class Slow(Fault):
    """Every byte to and from the region's router and services comes late, for callers and for other regions alike.

    The map and the callers name proxies in its place from the beginning, so that latencies before and after it are
    comparable with those during it.
    """

    name = "slow"

    def __init__(self, stack: ChaosStack, victim: str, round_trip_s: float) -> None:
        super().__init__(stack, victim)
        self._delay_s = round_trip_s / 2
        self._proxies: dict[Service, TcpProxy] = {}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        record = self.stack.local.state.region(self.victim)
        assert record is not None
        for service, endpoint in record.endpoints.items():
            self._proxies[service] = await self._open.enter_async_context(TcpProxy(endpoint))
        await self._tell({service: proxy.address for service, proxy in self._proxies.items()})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        record = self.stack.local.state.region(self.victim)
        assert record is not None
        async with self._open:
            await self._tell(record.endpoints)

    @property
    def routers(self) -> Mapping[str, str]:
        """Callers reach the victim's router through its proxy."""
        return {self.victim: self._proxies[Service.ROUTING].address}

    async def begin(self) -> float:
        """Delay."""
        for proxy in self._proxies.values():
            proxy.faults.delay_s = self._delay_s
        return time.monotonic()

    async def end(self) -> float:
        """Heal."""
        for proxy in self._proxies.values():
            proxy.heal()
        return time.monotonic()

    async def _tell(self, addresses: Mapping[Service, str]) -> None:
        """Let the map name these addresses for the region."""
        async with self.stack.control() as control:
            region = (await control.region(self.victim)).value
            region.endpoints.CopyFrom(
                entries_pb.RegionEndpoints(**{str(service): [address] for service, address in addresses.items()})
            )
            await control.put_region(region)


class Drain(Fault):
    """The operator drains the region and brings it back with a ramp; nothing is taken from it."""

    name = "drain"

    async def begin(self) -> float:
        """Drain; over when the change is acknowledged."""
        async with self.stack.control() as control:
            await control.drain_region(self.victim)
        return time.monotonic()

    async def end(self) -> float:
        """Undrain, its share growing for `RAMP_S` seconds."""
        async with self.stack.control() as control:
            await control.undrain_region(self.victim, ramp_s=RAMP_S)
        return time.monotonic()
