"""Asks a router whether it serves, with `grpc.health.v1`, so that no caller's request has to find out.

The two messages are so small that they are written by hand: the client needs no further package for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import grpc

from trunkline_client.failure import read_failure
from trunkline_client.signals import SILENT, Signals, read_signals

_METHOD: Final = "/grpc.health.v1.Health/Check"
_SERVICE: Final = b"trunkline.routing.v1.RoutingService"
_REQUEST: Final = b"\x0a" + bytes([len(_SERVICE)]) + _SERVICE
"""HealthCheckRequest: field 1, `service`."""
_SERVING: Final = b"\x08\x01"
"""HealthCheckResponse: field 1, `status`, SERVING."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a router said. `speaks`: it answered at all; `serves`: requests may be sent to it."""

    speaks: bool
    serves: bool
    signals: Signals = SILENT


async def check_health(channel: grpc.aio.Channel, within_s: float) -> Health:
    """Ask once, at most `within_s` seconds. Never raises for what a router says or fails to say.

    A server that has no such service, or does not know the name, is no Trunkline router of today; that it speaks is
    all that can be asked of it. One that drains says NOT_SERVING and serves.
    """
    check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_METHOD)
    call = check(_REQUEST, timeout=within_s)
    try:
        answer = await call
    except grpc.aio.AioRpcError as exc:
        speaks = not read_failure(exc).is_transport
        return Health(speaks, speaks, read_signals(exc.trailing_metadata()))
    signals = read_signals(await call.trailing_metadata())
    return Health(True, bytes(answer) == _SERVING or signals.draining, signals)
