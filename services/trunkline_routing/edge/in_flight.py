"""How many requests one credential and one tenant may have under way in this router."""

from __future__ import annotations

from typing import Final, Self

from trunkline_mesh import metrics
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.errors import InFlightLimit
from trunkline_mesh.request import RequestScope
from trunkline_routing.edge.model import Gate
from trunkline_tiers import TierFile

INITIAL_HOLD_S: Final = 0.1
"""How long a request is assumed to take before any has ended."""
MIN_RETRY_S: Final = 0.05
MAX_RETRY_S: Final = 5.0
_SMOOTHING: Final = 0.05

_REFUSED = metrics.counter("in_flight_refusals", "Requests refused for too many under way, by whose.", ("scope",))


class InFlight:
    """Counts requests under way. It remembers only those, so its memory is bounded by what the server lets in.

    A request is under way from when it has a slot of this server until it ends; those that wait for a slot are bounded
    by the queue.
    """

    def __init__(self, tiers: TierFile, *, clock: Clock = MONOTONIC) -> None:
        """Take the bounds from the tenants' tiers."""
        self._tiers: Final = tiers
        self._clock: Final = clock
        self._of_tenants: dict[str, int] = {}
        self._of_keys: dict[tuple[str, str], int] = {}
        self._hold_s = INITIAL_HOLD_S

    def held(self, gate: Gate, scope: RequestScope) -> Held:
        """Return a context manager that counts a request; entering it raises InFlightLimit."""
        return Held(self, gate, scope)

    @property
    def tracked(self) -> int:
        """Tenants and credentials that are counted now."""
        return len(self._of_tenants) + len(self._of_keys)

    def enter(self, tenant_id: str, key: str, tier: str) -> float:
        """Count one more and return the time; raise InFlightLimit, counting nothing."""
        capacity = self._tiers.named(tier)[1].capacity
        of_tenant = self._of_tenants.get(tenant_id, 0)
        of_key = self._of_keys.get((tenant_id, key), 0)
        if of_tenant >= capacity.in_flight_per_instance:
            raise self._refusal("instance", capacity.in_flight_per_instance)
        if of_key >= capacity.in_flight_per_key:
            raise self._refusal("key", capacity.in_flight_per_key)
        self._of_tenants[tenant_id] = of_tenant + 1
        self._of_keys[tenant_id, key] = of_key + 1
        return self._clock()

    def leave(self, tenant_id: str, key: str, began_s: float) -> None:
        """Count one less."""
        self._hold_s += _SMOOTHING * (self._clock() - began_s - self._hold_s)
        of_tenant, of_key = self._of_tenants[tenant_id] - 1, self._of_keys[tenant_id, key] - 1
        if of_tenant:
            self._of_tenants[tenant_id] = of_tenant
        else:
            del self._of_tenants[tenant_id]
        if of_key:
            self._of_keys[tenant_id, key] = of_key
        else:
            del self._of_keys[tenant_id, key]

    def _refusal(self, scope: str, limit: int) -> InFlightLimit:
        """After the mean time of a request those that are under way now have about ended."""
        _REFUSED.labels(scope).inc()
        return InFlightLimit(
            retry_delay_s=min(max(self._hold_s, MIN_RETRY_S), MAX_RETRY_S),
            metadata={"limit": str(limit), "scope": scope},
        )


class Held:
    """One request's place among those under way; used once."""

    __slots__ = ("_began_s", "_in_flight", "_key", "_tenant_id", "_tier")

    def __init__(self, in_flight: InFlight, gate: Gate, scope: RequestScope) -> None:
        """See `InFlight.held`."""
        self._in_flight = in_flight
        self._tenant_id, self._tier = gate.tenant.tenant_id, gate.tenant.tier
        self._key = scope.principal.subject if scope.principal is not None else ""
        self._began_s = 0.0

    def __enter__(self) -> Self:
        """Take the place, or raise InFlightLimit."""
        self._began_s = self._in_flight.enter(self._tenant_id, self._key, self._tier)
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        self._in_flight.leave(self._tenant_id, self._key, self._began_s)
