"""Use case: quota handed to routers, and to other regions, ahead of time, and taken back."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from trunkline_admission.granting import LeaseGrant, Tenants, grant_of
from trunkline_admission.quota import QuotaAuthority
from trunkline_lease.asks import Ask
from trunkline_lease.charge import NOTHING, Charge
from trunkline_mesh.clock import MONOTONIC, Clock


class Leases:
    """Answers wishes. Who asks may give back what it was granted lately, and no more."""

    def __init__(
        self, tenants: Tenants, quotas: QuotaAuthority, *, valid_s: float, max_entries: int, clock: Clock = MONOTONIC
    ) -> None:
        """Grant what lives `valid_s`; keep account of `max_entries` leases, of all who ask."""
        self.valid_s = valid_s
        self._tenants = tenants
        self._quotas = quotas
        self._account = LeaseAccount(valid_s=valid_s, max_entries=max_entries, clock=clock)

    async def exchange(self, holder: str, ask: Ask) -> LeaseGrant:
        """Take back, book, then grant up to what is wanted (each 0 to 10,000) to the holder of that credential.

        A tenant that is unknown, suspended, or must not be counted here is granted nothing. What was spent in advance
        is booked for any service credential: it takes from the tenant nothing that the credential could not ask for.
        Raises MapNotReady.
        """
        accepted = self._account.take_back(holder, ask.tenant_id, ask.key, ask.returned)
        leased = await grant_of(
            self._tenants,
            self._quotas,
            ask.tenant_id,
            ask.wanted,
            accepted,
            key=ask.key,
            advanced=ask.advanced,
        )
        self._account.hand_out(holder, ask.tenant_id, ask.key, leased.grant.granted + ask.advanced)
        return leased


@dataclass(slots=True)
class _Handed:
    """What was handed out in the current period and in the one before."""

    period: int
    now: Charge = NOTHING
    before: Charge = NOTHING


class LeaseAccount:
    """Bounds what may come back: what was handed out within the last one to two lifetimes of a lease.

    Older grants are void by contract. Kept by credential and not by stream, so that a holder which reconnects may still
    give back; the least recently used entry makes room and can then return nothing.
    """

    def __init__(self, *, valid_s: float, max_entries: int, clock: Clock) -> None:
        """Nothing is handed out yet."""
        self._valid_s = valid_s
        self._max_entries = max_entries
        self._clock = clock
        self._handed: OrderedDict[tuple[str, str, str], _Handed] = OrderedDict()

    def hand_out(self, holder: str, tenant_id: str, key: str, charge: Charge) -> None:
        """Remember a grant."""
        if not charge:
            return
        name, period = (holder, tenant_id, key), self._period()
        handed = self._handed.get(name)
        if handed is None:
            if len(self._handed) >= self._max_entries:
                self._handed.popitem(last=False)
            handed = self._handed[name] = _Handed(period)
        else:
            self._handed.move_to_end(name)
            _turn(handed, period)
        handed.now += charge

    def take_back(self, holder: str, tenant_id: str, key: str, charge: Charge) -> Charge:
        """Return how much of `charge` may be put back; each only once."""
        handed = self._handed.get((holder, tenant_id, key)) if charge else None
        if handed is None:
            return NOTHING
        _turn(handed, self._period())
        older = charge.at_most(handed.before)
        newer = charge.less(older).at_most(handed.now)
        handed.before = handed.before.less(older)
        handed.now = handed.now.less(newer)
        return older + newer

    def _period(self) -> int:
        return int(self._clock() // self._valid_s)


def _turn(handed: _Handed, period: int) -> None:
    passed = period - handed.period
    if passed > 0:
        handed.before = handed.now if passed == 1 else NOTHING
        handed.now = NOTHING
        handed.period = period
