"""Opening and closing a lease holder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

import grpc

from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline_lease.asks import AskKeeper, Asks
from trunkline_lease.holder import LeaseHolder
from trunkline_lease.limit_bounds import BoundsOf, no_bounds
from trunkline_lease.options import LeaseOptions
from trunkline_lease.safe_share import SafeOf
from trunkline_lease.stream import LeaseStream
from trunkline_mesh.background import background
from trunkline_mesh.clock import MONOTONIC, Clock

Credential: TypeAlias = Callable[[], Sequence[tuple[str, str]]]
"""Returns the metadata of a service credential; asked each time a stream is opened, so that it may be renewed. May
raise OSError where it cannot be read now."""


@asynccontextmanager
async def open_lease_holder(
    channel: grpc.aio.Channel,
    *,
    credential: Credential,
    options: LeaseOptions | None = None,
    clock: Clock = MONOTONIC,
    safe_of: SafeOf | None = None,
    bounds_of: BoundsOf = no_bounds,
) -> AsyncIterator[LeaseHolder]:
    """Hold leases of the admission service at the end of `channel`, which stays the caller's.

    Does not wait for a connection. At the end unused quota is returned, within `close_timeout_s`; what could not be
    returned by then expires at the service. `safe_of` and `bounds_of` are as in `LeaseHolder`.
    """
    options = options or LeaseOptions()
    stub = admission_grpc.AdmissionServiceStub(channel)

    def stream(keeper: AskKeeper) -> LeaseStream:
        return LeaseStream(lambda: stub.Lease(metadata=tuple(credential())), keeper, options, clock)

    async with open_holder(stream, options, clock, safe_of=safe_of, bounds_of=bounds_of) as holder:
        yield holder


@asynccontextmanager
async def open_holder(
    open_asks: Callable[[AskKeeper], Asks],
    options: LeaseOptions,
    clock: Clock = MONOTONIC,
    *,
    safe_of: SafeOf | None = None,
    bounds_of: BoundsOf = no_bounds,
) -> AsyncIterator[LeaseHolder]:
    """Hold leases over any way of asking. At the end unused quota is returned, within `close_timeout_s`."""
    holder = LeaseHolder(open_asks, options, clock, safe_of=safe_of, bounds_of=bounds_of)
    async with background(holder.run()) as running:
        try:
            yield holder
        finally:
            holder.return_all()
            await asyncio.wait((running,), timeout=options.close_timeout_s)
