"""Quotas in a store that runs scripts: a tenant's limits in one step, its tier's pool from shares held before."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Literal

from trunkline_admission.even_parts import EvenParts
from trunkline_admission.metrics import TRIAL_REFUSALS
from trunkline_admission.periods import Periods, Window
from trunkline_admission.pools import RETURNS_LATE_S, SHARE_VALID_S, PoolShares
from trunkline_admission.quota import Grant, LimitState, QuotaSource, Scope, TenantQuota
from trunkline_admission.scripting import ScriptRunner
from trunkline_admission.tenant_script import (
    DAY_REQUESTS,
    WRONG_WINDOW,
    TenantAnswer,
    is_numbers,
    limit_arguments,
    read_answer,
)
from trunkline_admission.tenant_told import grant_of, states_of
from trunkline_lease.charge import NOTHING, Charge
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.errors import BackendUnavailable
from trunkline_tiers import TierFile

MAX_CHARGE: Final = 10**9
"""More of anything at once counts as this much: numbers stay exact in the store's doubles."""
MAX_PREPARED: Final = 20_000
"""Tenants whose arguments are kept ready."""
WINDOW_TRIES: Final = 2
"""With this replica's clock, then with the store's."""


def not_counted(_tier: str) -> int:
    """Return 0: nobody knows how many tenants a tier has."""
    return 0


def no_offset() -> float:
    """Return 0: the store's clock is what it is."""
    return 0.0


class RedisQuota:
    """A `QuotaAuthority` over a `ScriptRunner`. All keys of one tenant share its tag, and the pools have one of theirs.

    `take` costs one round trip, the tenant's; shares of the pool are drawn beside it. A store that lost its data gives
    every bucket and pool one more burst, and every count its day and month once more.
    """

    def __init__(
        self,
        runner: ScriptRunner,
        tiers: TierFile,
        *,
        key_prefix: str,
        share_valid_s: float = SHARE_VALID_S,
        clock: Clock = MONOTONIC,
        wall_clock: Clock = time.time,
        clock_offset_s: Callable[[], float] = no_offset,
        tenants_of: Callable[[str], int] = not_counted,
    ) -> None:
        """Run scripts with `runner`, which stays the caller's. `clock` is monotonic, `wall_clock` Unix time.

        `clock_offset_s` is added to the store's time, to test its jumps. `tenants_of` tells how many tenants a tier
        has: each has its even part of a dry pool; 0 where that is not known.
        """
        self._runner = runner
        self._tiers = tiers
        self._key_prefix = key_prefix
        self._wall_clock = wall_clock
        self._clock_offset_s = clock_offset_s
        self._periods = Periods()
        self._store_ahead_s = 0.0
        self._prepared: OrderedDict[str, tuple[TenantQuota, tuple[float, ...], tuple[float, ...]]] = OrderedDict()
        self._even_parts = EvenParts(tenants_of, tiers, clock)
        self._pools = PoolShares(
            runner,
            tiers,
            key=f"{key_prefix}:{{pool}}:pools",
            share_valid_s=share_valid_s,
            clock=clock,
            clock_offset_s=clock_offset_s,
        )

    @property
    def pools(self) -> PoolShares:
        """The shares of the region's pools that this replica holds."""
        return self._pools

    async def take(
        self,
        quota: TenantQuota,
        wanted: Charge,
        returned: Charge = NOTHING,
        *,
        key: str = "",
        advanced: Charge = NOTHING,
    ) -> Grant:
        """As `QuotaAuthority.take`. Raises BackendUnavailable and BackendTimeout.

        What was advanced is drawn from the pool, too, as far as the tenant may be in debt; what the pool does not have
        of it was spent all the same. While the pool is dry a tenant is granted what it has not had yet of its even part
        of the pool's day; the pool owes that then.
        """
        wanted, returned, advanced = _bounded(wanted), _bounded(returned), _bounded(advanced)
        tier = self._tiers.named(quota.tier)[0]
        owed = min(advanced.requests, _most_owed(quota))
        piece = await self._pools.draw(tier, owed + wanted.requests)
        try:
            room = max(0, piece.total - owed)
            dry = wanted.requests > 0 and room == 0
            even = self._even_part(quota, tier) if dry else 0
            if dry and not even and not returned and not advanced:
                return Grant(NOTHING, QuotaSource.AUTHORITY, self._pools.refusal(tier))
            room = wanted.requests if even else room
            asked = Charge(min(wanted.requests, room), wanted.tokens) if room or not dry else NOTHING
            grant = await self._take(quota, key, tier, asked, returned, advanced, even)
            drawn = owed + grant.granted.requests
            spent = piece.take(drawn)
        finally:
            self._pools.give_back(tier, piece)
        self._pools.returned(tier, returned.requests)
        self._pools.spent(tier, drawn, spent)
        if not dry or grant.refusal is not None:
            return grant
        if grant.granted:
            self._pools.overdraw(tier, grant.granted.requests)
            return grant
        if even:
            self._even_parts.used_up(quota.tenant_id)
        return Grant(NOTHING, QuotaSource.AUTHORITY, self._pools.refusal(tier), grant.warnings)

    def _even_part(self, quota: TenantQuota, tier: str) -> int:
        """Return the tenant's even part of its tier's dry pool; 0 if it has none, or the region itself is dry."""
        if self._tiers.service_requests_per_day and self._pools.refusal(tier).scope is Scope.SERVICE:
            return 0
        return self._even_parts.of(quota.tenant_id, tier)

    async def states(self, quota: TenantQuota, key: str = "") -> Sequence[LimitState]:
        """As `QuotaAuthority.states`. Raises BackendUnavailable and BackendTimeout."""
        answer, window = await self._ask("look", quota, key, (0, 0, 0, 0, 0, 0), above_day=False)
        return states_of(quota, quota.keys.get(key), window, answer)

    async def aclose(self) -> None:
        """Give back what is held of the pools."""
        await self._pools.aclose()

    async def _take(
        self, quota: TenantQuota, key: str, tier: str, wanted: Charge, returned: Charge, advanced: Charge, even: int
    ) -> Grant:
        charges = (*_pair(wanted), *_pair(returned), *_pair(advanced))
        spare = self._pools.has_spare(tier) if quota.borrows_above_day and not even else False
        answer, window = await self._ask("take", quota, key, charges, above_day=bool(spare), even=even)
        if spare is None and answer.refusing == DAY_REQUESTS:
            # Nobody looked lately whether the pool can spare some; what came back is booked already.
            await self._pools.levels()
            if self._pools.has_spare(tier):
                answer, window = await self._ask("take", quota, key, (*_pair(wanted), 0, 0, 0, 0), above_day=True)
        if not answer.granted.within(wanted):
            raise BackendUnavailable("the quota store granted more than was wanted")
        grant = grant_of(quota, quota.keys.get(key), window, answer)
        for warning in grant.warnings:
            if warning.shadow:
                TRIAL_REFUSALS.labels(quota.tier, warning.period.name, warning.unit.name).inc()
        return grant

    async def _ask(
        self,
        mode: Literal["take", "look"],
        quota: TenantQuota,
        key: str,
        charges: tuple[int, ...],
        *,
        above_day: bool,
        even: int = 0,
    ) -> tuple[TenantAnswer, Window]:
        """Run the tenant's script in the day and month of the store's clock."""
        key_limits = quota.keys.get(key)
        keys = [f"{self._key_prefix}:{{{quota.tenant_id}}}:quota"]
        if key_limits is not None:
            keys.append(f"{self._key_prefix}:{{{quota.tenant_id}}}:key:{_digest(key)}")
        own, trial = self._arguments(quota)
        of_key = () if key_limits is None else limit_arguments(key_limits)
        offset_us = round(self._clock_offset_s() * 1e6)
        for _ in range(WINDOW_TRIES):
            window = self._window(quota.time_zone)
            begun = (window.day_begin_s, window.day_end_s, window.month_begin_s, window.month_end_s)
            # So long after a period's begin what comes back may be of the one before, and is not taken off its counts.
            args = (mode, offset_us, *begun, int(RETURNS_LATE_S), *charges, int(above_day), even, *own, *of_key, *trial)
            raw = await self._runner.run("tenant", keys, args)
            if not is_numbers(raw) or len(raw) != 2 or raw[0] != WRONG_WINDOW:
                return read_answer(raw, with_key=key_limits is not None, with_trial=bool(trial)), window
            self._store_ahead_s = raw[1] / 1e6 - self._wall_clock()
        raise BackendUnavailable("the quota store's clock is not to be followed")

    def _window(self, zone: str) -> Window:
        try:
            return self._periods.window(zone, self._wall_clock() + self._store_ahead_s)
        except ValueError as exc:
            self._store_ahead_s = 0.0
            raise BackendUnavailable("the quota store's clock is outside the calendar") from exc

    def _arguments(self, quota: TenantQuota) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the tenant's limits and those on trial as arguments; made once for each `TenantQuota`."""
        known = self._prepared.get(quota.tenant_id)
        if known is not None and known[0] is quota:
            return known[1], known[2]
        own, trial = limit_arguments(quota.limits), () if quota.shadow is None else limit_arguments(quota.shadow)
        if known is None and len(self._prepared) >= MAX_PREPARED:
            self._prepared.popitem(last=False)
        self._prepared[quota.tenant_id] = (quota, own, trial)
        return own, trial


_MOST: Final = Charge(MAX_CHARGE, MAX_CHARGE)


def _most_owed(quota: TenantQuota) -> int:
    """Return the requests that a tenant may have spent before they were granted: a burst."""
    bucket = quota.limits.requests
    return MAX_CHARGE if bucket is None else int(bucket.burst)


def _bounded(charge: Charge) -> Charge:
    return charge if charge.within(_MOST) else charge.at_most(_MOST)


def _pair(charge: Charge) -> tuple[int, int]:
    return charge.requests, charge.tokens


def _digest(key: str) -> str:
    """Subjects are the tenant's: a digest bounds their length and keeps their characters out of the store's keys."""
    return hashlib.blake2s(key.encode(), digest_size=12).hexdigest()
