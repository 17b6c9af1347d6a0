"""What a stage is: a wrapper around a handler, made once for each method."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import grpc

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.drain import Drain
from trunkline_mesh.errors import DomainError
from trunkline_mesh.hop_ticket import HopTickets
from trunkline_mesh.identity import TokenVerifier
from trunkline_mesh.method_policy import MethodPolicy
from trunkline_mesh.request import HeldSlot
from trunkline_mesh.trailers import AnswerTrailers

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = Callable[[Any, Context], Awaitable[Any]]
"""Takes `(request, context)`; returns the response, or None where it wrote a stream itself."""


class CallSlot(HeldSlot, AbstractAsyncContextManager[float], Protocol):
    """A slot as a context: entering it waits and gives the seconds waited."""


class Limiter(Protocol):
    """What the capacity stage needs; trunkline_mesh.limiter.CapacityLimiter has it."""

    def slot(
        self, *, tenant: str, rank: int, weight: float, deadline: Deadline, kind: str, preemptible: bool
    ) -> CallSlot:
        """Return a slot that is waited for on entering, and held for the context's time."""
        ...


@dataclass(frozen=True, slots=True)
class MethodStages:
    """All that the stages of one method need."""

    name: str
    """Full method name."""
    policy: MethodPolicy | None
    """None denies every call."""
    verifier: TokenVerifier
    limiter: Limiter
    slow_call_s: float
    access_log_ok_every: int
    rank_of: Callable[[str], int] | None
    """Returns the rank of a tenant (empty for none); None where there is no map to look it up in."""
    lowest_rank: int
    """Of calls whose caller says nothing."""
    drain: Drain
    trailers: AnswerTrailers
    on_refusal: Callable[[DomainError], None] | None = None
    """As `MeshApp.on_refusal`."""
    tickets: HopTickets | None = None
    """Makes and checks the proofs of ranks; None without keys."""
    standing_of: Callable[[str], Awaitable[int | None]] | None = None
    """As `MeshApp.standing_of`."""


Stage: TypeAlias = Callable[[MethodStages, Handler], Handler]
