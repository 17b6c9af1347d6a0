"""One router: its address, its connection, and what recent calls say about it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Final

import grpc

from trunkline_client.methods import AnyMethod, Method, RequestT, ResponseT

_SAMPLES: Final = 9
_MIN_SAMPLES: Final = 5
_FRESH_S: Final = 15.0
"""Without a new one for so long, samples prove nothing any more: a router that was slow is tried again."""


@dataclass(frozen=True, slots=True)
class RouterAddress:
    """Where a router listens (`host:port`), and its region where that is known."""

    region: str
    target: str

    def __post_init__(self) -> None:
        host, _, port = self.target.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"a router's target must be host:port, not {self.target!r}")

    @classmethod
    def parse(cls, text: str) -> RouterAddress:
        """Read `host:port` or `region=host:port`. Raises ValueError for anything else."""
        region, equals, target = text.strip().rpartition("=")
        if equals and not region:
            raise ValueError(f"a router must be host:port or region=host:port, not {text!r}")
        return cls(region, target)


@dataclass(slots=True)
class Latency:
    """The usual time of one method at one router: the median of its last answers.

    A mean would hold the first answers of a router that has just started against it for a long time.
    """

    usual_s: float = 0.0
    """0 without samples."""
    latest_s: float = 0.0
    """When the last sample came, by the clock of whoever records."""
    _samples: deque[float] = field(default_factory=lambda: deque(maxlen=_SAMPLES))

    def record(self, elapsed_s: float, now_s: float) -> None:
        """Take in one answer's time; what came before a long silence is forgotten."""
        if now_s - self.latest_s > _FRESH_S:
            self._samples.clear()
        self._samples.append(elapsed_s)
        self.usual_s = median(self._samples)
        self.latest_s = now_s

    def trusted(self, now_s: float) -> bool:
        """Return whether there are enough samples to go by, and fresh ones."""
        return len(self._samples) >= _MIN_SAMPLES and now_s - self.latest_s <= _FRESH_S


@dataclass(slots=True, eq=False)
class Router:
    """A router and its state. All times are of the pool's clock."""

    address: RouterAddress
    connect: Callable[[str], grpc.aio.Channel]
    position: int
    failures: int = 0
    rests: int = 0
    rest_until_s: float | None = None
    avoid_until_s: float = 0.0
    proved: bool = False
    """At rest, and a health check since says that it serves: a call may be the probe that ends the rest."""
    probing: bool = False
    heard_s: float = 0.0
    """When it last answered anything."""
    checked_s: float = 0.0
    """When the last health check of the watch ended."""
    draining: bool = False
    pressure: float = 0.0
    pressure_s: float = 0.0
    """When it told its pressure."""
    latencies: dict[str, Latency] = field(default_factory=dict)
    _channel: grpc.aio.Channel | None = None
    _bound: dict[AnyMethod, grpc.aio.UnaryUnaryMultiCallable[object, object]] = field(default_factory=dict)

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel, made when first used: it belongs to the event loop that runs then."""
        if self._channel is None:
            self._channel = self.connect(self.address.target)
        return self._channel

    async def close(self) -> None:
        """Close the connection if there is one."""
        channel, self._channel = self._channel, None
        self._bound.clear()
        if channel is not None:
            await channel.close()

    def bound(self, method: Method[RequestT, ResponseT]) -> grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]:
        """Return the method on this router's channel, made once."""
        callable_ = self._bound.get(method)
        if callable_ is None:
            callable_ = method.bind(self.channel)  # type: ignore[assignment]  # a dict cannot relate key and value types
            self._bound[method] = callable_  # type: ignore[assignment]  # as above
        return callable_  # type: ignore[return-value]  # as above

    @property
    def ready(self) -> bool:
        """True if the connection stands. A router that has none begins to connect."""
        return self.channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY

    @property
    def refuses(self) -> bool:
        """True if the last try to connect was refused."""
        return self.channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE

    def latency(self, method_name: str) -> Latency:
        """Return the usual time of a method at this router."""
        return self.latencies.setdefault(method_name, Latency())


async def wait_connected(channel: grpc.aio.Channel, within_s: float, *, stop_at_failure: bool) -> bool:
    """Wait until the channel is connected; False if it is not in time.

    `stop_at_failure`: do not wait for the next try after one was refused, because there is somewhere else to go.
    """
    try:
        async with asyncio.timeout(within_s):
            state = channel.get_state(try_to_connect=True)
            while state is not grpc.ChannelConnectivity.READY:
                if stop_at_failure and state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                    return False
                await channel.wait_for_state_change(state)
                state = channel.get_state(try_to_connect=True)
    except TimeoutError:
        return False
    return True
