"""What each method asks of its caller. A method that stands in no table is denied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from trunkline_mesh.errors import MethodNotAllowed
from trunkline_mesh.request import ROLE_ADMIN, ROLE_OPERATOR, ROLE_SERVICE, Principal

MAX_CAP_S: Final = 3600.0
"""The longest that any call may take: an endless stream begins anew at least so often."""


class Access(Enum):
    """Who may call a method."""

    PUBLIC = "public"
    """Anybody, without a credential: health only."""
    AUTHENTICATED = "authenticated"
    """Any verified credential."""
    TENANT = "tenant"
    """A tenant's credential, or a service credential that acts for a tenant."""
    TENANT_ADMIN = "tenant_admin"
    """A tenant's credential with the role `admin`, or an operator."""
    OPERATOR = "operator"
    """The role `operator`."""
    SERVICE = "service"
    """The role `service`."""


@dataclass(frozen=True, slots=True)
class MethodPolicy:
    """Access, deadline bounds and weight of one method.

    Methods come in three lengths:

    - *Calls* (seconds): a `weight`. They wait for slots and hold them.
    - *Long calls* (minutes, for example an export): `weight=0` with `max_open` and `max_open_per_caller`. A call that
      held a slot for minutes would keep short ones out and teach the limiter that everything takes minutes; so they are
      counted apart, and one too many is OVERLOADED at once. They may finish in the drain's grace.
    - *Endless streams* (watches, leases): the same, with `ends_at_drain` and a cap of up to MAX_CAP_S. They end with
      DRAINING when the server drains and with DEADLINE_EXCEEDED at the cap; the caller opens another and goes on where
      the last answer left it. The credential is verified when the stream opens.
    """

    access: Access
    cap_s: float
    """A missing or longer deadline becomes this one."""
    floor_s: float
    """With less than this left at entry the call is refused."""
    weight: float = 1.0
    """Slots of the capacity limiter that one call takes; 0 exempts it."""

    preemptible: bool = True
    """False for calls that must not be cut off half-way, such as writes. Others may be ended with PREEMPTED while they
    run on slots that are promised to other ranks."""

    ends_at_drain: bool = False
    """True for streams that go on for ever: they end with DRAINING as soon as the server drains."""

    max_open: int = 0
    """Calls of this method that may be under way in one process; 0 for no such bound."""
    max_open_per_caller: int = 0
    """The same for one tenant, or one subject where the credential names no tenant."""

    def __post_init__(self) -> None:
        """Refuse bounds that do not nest."""
        if self.cap_s > MAX_CAP_S or min(self.weight, self.max_open, self.max_open_per_caller) < 0:
            raise ValueError(f"caps end at {MAX_CAP_S} s, and weight and counts begin at 0: {self}")
        if not 0 <= self.floor_s < self.cap_s:
            raise ValueError(f"floor {self.floor_s} s and cap {self.cap_s} s do not nest")


PolicyTable: TypeAlias = Mapping[str, MethodPolicy]
"""Full method name, `/package.Service/Method`, to its policy."""


def authorize(access: Access, principal: Principal) -> None:
    """Raise MethodNotAllowed unless the verified caller may use a method of this access."""
    if not may_call(access)(principal):
        raise MethodNotAllowed


def may_call(access: Access) -> Callable[[Principal], bool]:
    """Return the question that a method of this access asks of its verified caller."""
    return _MAY_CALL[access]


def _is_tenant_admin(principal: Principal) -> bool:
    return ROLE_OPERATOR in principal.roles or (ROLE_ADMIN in principal.roles and principal.tenant_id is not None)


_MAY_CALL: Final[Mapping[Access, Callable[[Principal], bool]]] = {
    Access.PUBLIC: lambda _: True,
    Access.AUTHENTICATED: lambda _: True,
    Access.TENANT: lambda principal: principal.tenant_id is not None,
    Access.TENANT_ADMIN: _is_tenant_admin,
    Access.OPERATOR: lambda principal: ROLE_OPERATOR in principal.roles,
    Access.SERVICE: lambda principal: ROLE_SERVICE in principal.roles,
}
