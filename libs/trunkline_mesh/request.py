"""The scope of one request: what the stages learned of it, for everything below the handler."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import CredentialMissing, TenantMismatch

REQUEST_ID_KEY: Final = "trunkline-request-id"
ATTEMPT_KEY: Final = "trunkline-attempt"
TIMEOUT_KEY: Final = "trunkline-timeout-us"
"""What the calling hop has left, in microseconds. gRPC's own header may say more: it is rounded up, and an earlier
value that is up to 3 % longer is sent again to save bytes."""
AUTHORIZATION_KEY: Final = "authorization"
RANK_KEY: Final = "trunkline-rank"
"""The rank that the calling hop has found for the request's tenant. Services without a map believe it with the ticket
of `HOP_KEY`, or where they have no keys. Those with a map find the rank themselves."""
HOP_KEY: Final = "trunkline-hop"
"""The ticket that proves the rank, as `hop_ticket.HopTickets` makes it. Not for logs, and not for callers."""
PRESSURE_KEY: Final = "trunkline-pressure"
"""Trailing metadata of every answer, refusals and grpc.health.v1.Health/Check included: the limiter's pressure when the
answer leaves, 1 at capacity, with two decimals, at most `10.00`. It is sent always, also when it is low: absent means
that the answer is not ours (a proxy's, or gRPC's own refusal), and an old high value is taken back by the next answer.
On a bare echo that costs 1 to 2 % of the throughput, within the noise of the measurement; see docs/adr/0022."""
DRAINING_KEY: Final = "trunkline-draining"
"""Trailing metadata of answers from a router whose region does not serve by the map: `1`, prefer another from now on.
Sent while `MeshApp.draining` says so."""

ROLE_OPERATOR: Final = "operator"
ROLE_ADMIN: Final = "admin"
ROLE_SERVICE: Final = "service"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, as a verified credential says."""

    subject: str
    tenant_id: str | None
    """The tenant that the call may touch: the `tenant` claim, or `act_tenant` of a service credential."""
    roles: frozenset[str]
    token: str = field(repr=False)
    """The raw credential, forwarded unchanged to services that verify it again."""
    expires_at_s: float
    """Unix time of its expiry."""
    attributes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """What else the credential says of its holder, such as its department: the `attributes` claim, at most 16."""

    def has_role(self, role: str) -> bool:
        """Return True if the credential carries the role."""
        return role in self.roles


class HeldSlot(Protocol):
    """What a request holds of its server's capacity; trunkline_mesh.slot.Slot is one."""

    def is_of_this_task(self) -> bool:
        """Return True in the request's own task while the slot is held."""
        ...

    def park(self) -> None:
        """Give it back for a while; raises InFlightLimit or Overloaded, still holding it, if too many do."""
        ...

    async def resume(self) -> float:
        """Take it again; return the seconds waited for it."""
        ...

    def settle(self) -> None:
        """Keep it to the end: the call's work is done and being accounted for, so it is ended for nobody any more."""
        ...


@dataclass(slots=True)
class RequestScope:
    """One request under way."""

    request_id: str
    attempt: int
    method: str
    """Full method name, `/package.Service/Method`."""
    deadline: Deadline
    deadline_capped: bool
    principal: Principal | None = None
    authorization: str = field(default="", repr=False)
    """The header as it came, before anybody has verified it; empty if there is none."""
    rank: int | None = None
    """Rank of the request among those who share servers, once it is known; told to every further hop."""
    hop: str = field(default="", repr=False)
    """The ticket that proves the rank to further hops; empty if there is none. As it came, until the stage `rank`."""
    queue_wait_s: float = 0.0
    """Time spent waiting for a slot of this server."""
    slot: HeldSlot | None = field(default=None, repr=False)
    """What it holds of this server's capacity, while it is served; `parking` gives it back for a while."""
    noted: bool = False
    """True once an account of calls has taken this one upon itself: who listens to refusals leaves it alone then."""

    def settle(self) -> None:
        """Let nobody end the request for others any more; call it once its work is done, before that is accounted for.

        What is charged, recorded and noted as done must not be told to its caller as PREEMPTED.
        """
        if self.slot is not None:
            self.slot.settle()


_SCOPE: ContextVar[RequestScope] = ContextVar("trunkline_request")


def current_request() -> RequestScope:
    """Return the scope of the request being served; raise LookupError outside of one."""
    return _SCOPE.get()


def request_or_none() -> RequestScope | None:
    """Return the scope of the request being served; None outside of one."""
    return _SCOPE.get(None)


def enter_request(scope: RequestScope) -> None:
    """Make `scope` the current one for this task. Each RPC runs in a task of its own, so nothing is restored."""
    _SCOPE.set(scope)


def current_principal() -> Principal:
    """Return the verified caller; raise CredentialMissing where the method is open to anybody and nobody was named."""
    principal = _SCOPE.get().principal
    if principal is None:
        raise CredentialMissing
    return principal


def tenant_of(requested: str) -> str:
    """Return the credential's tenant, which `requested`, if not empty, must name.

    Raises TenantMismatch otherwise, also for a credential without a tenant.
    """
    tenant_id = current_principal().tenant_id
    if tenant_id is None or (requested and requested != tenant_id):
        raise TenantMismatch
    return tenant_id
