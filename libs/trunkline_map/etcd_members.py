"""The members of an etcd cluster, one channel each, and which of them to ask next.

One channel over all members would need numeric addresses of one family, and would check every certificate against the
list of them. With one each, names work, a certificate is checked against its own member's name, and a member that does
not answer is left out before its connection is known to be dead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, Final

import grpc
from aetcd.rpc import rpc_pb2_grpc

from trunkline_mesh.clock import MONOTONIC, Clock

SHUN_S: Final = 5.0
"""A member that failed a call is asked last for so long: frozen ones are noticed by their channel after 7 s only."""


class Member:
    """One member: its channel and the stubs on it."""

    def __init__(self, endpoint: str, channel: grpc.aio.Channel) -> None:
        """Use `channel`, which the ring closes."""
        self.endpoint: Final = endpoint
        self.channel: Final = channel
        self.kv: Final[Any] = rpc_pb2_grpc.KVStub(channel)
        self.watch: Final[Any] = rpc_pb2_grpc.WatchStub(channel)
        self.maintenance: Final[Any] = rpc_pb2_grpc.MaintenanceStub(channel)
        self.auth: Final[Any] = rpc_pb2_grpc.AuthStub(channel)
        self.shunned_until_s = 0.0

    def connected(self) -> bool:
        """Return True if its connection is up. Starts to connect where nothing does."""
        return self.channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY


class MemberRing:
    """All members; those that are up and have not failed lately are used in turn."""

    def __init__(self, members: Sequence[Member], *, clock: Clock = MONOTONIC) -> None:
        """Take at least one member."""
        self.members: Final = tuple(members)
        self._clock = clock
        self._turn = 0

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self.members)

    def pick(self, tried: Collection[Member] = ()) -> Member:
        """Return the member to ask: one that was not tried, is not shunned, and is connected, in this order of weight.

        Every member is a candidate, so that one is always found.
        """
        now_s = self._clock()
        self._turn += 1
        order = [self.members[(self._turn + step) % len(self.members)] for step in range(len(self.members))]
        return min(order, key=lambda each: (each in tried, each.shunned_until_s > now_s, not each.connected()))

    async def pick_connected(self, timeout_s: float) -> Member | None:
        """Return the member to ask once its connection is up; None if none came up within `timeout_s`."""
        member = self.pick()
        if member.connected():
            return member
        coming = [asyncio.create_task(each.channel.channel_ready()) for each in self.members]
        try:
            await asyncio.wait(coming, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in coming:
                task.cancel()
            await asyncio.gather(*coming, return_exceptions=True)
        member = self.pick()
        return member if member.connected() else None

    def shun(self, member: Member) -> None:
        """Ask `member` last for SHUN_S: it failed."""
        member.shunned_until_s = self._clock() + SHUN_S

    async def close(self) -> None:
        """Close every channel."""
        for member in self.members:
            await member.channel.close()
