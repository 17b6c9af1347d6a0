"""From a region's endpoints to the stub that calls them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

import grpc

from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.errors import BackendUnavailable

StubT = TypeVar("StubT")

_MAX_STUBS: Final = 256


def target_of(endpoints: Sequence[str]) -> str:
    """Return the target that spreads calls over all endpoints; raise BackendUnavailable where the map has none."""
    if not endpoints:
        raise BackendUnavailable("the map names no endpoint of this service in the region")
    return endpoints[0] if len(endpoints) == 1 else ",".join(endpoints)


class Stubs(Generic[StubT]):
    """One stub for each channel. Generated stubs prepare every method when they are made: too dear for each call."""

    def __init__(self, channels: ChannelPool, make: Callable[[grpc.aio.Channel], StubT]) -> None:
        """Make stubs with `make`, the generated class."""
        self._channels = channels
        self._make = make
        self._stubs: dict[str, tuple[grpc.aio.Channel, StubT]] = {}

    def of(self, endpoints: Sequence[str]) -> StubT:
        """Return the stub of a region's endpoints; raise BackendUnavailable where there are none."""
        target = target_of(endpoints)
        channel = self._channels.get(target)
        known = self._stubs.get(target)
        if known is not None and known[0] is channel:
            return known[1]
        if len(self._stubs) >= _MAX_STUBS:
            self._stubs.clear()
        stub = self._make(channel)
        self._stubs[target] = (channel, stub)
        return stub
