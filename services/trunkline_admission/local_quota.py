"""Quotas of this replica alone: what each tenant keeps while the store is away."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from trunkline_admission.errors import charged_too_much, quota_exhausted
from trunkline_admission.quota import Grant, Quota, QuotaSource, Reservation
from trunkline_lease import TokenBucket
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.errors import PermitUnknown, RequestIdReused

PERMIT_MARK: Final = "l"
"""First part of the permits that one replica keeps."""
LOCAL_PART: Final = 0.5
"""Of the guaranteed share: replicas do not know of each other, and the store may have granted the same just before."""
MIN_BURST_TOKENS: Final = 10.0
"""Where there is a local share at all, an ordinary search fits into its burst."""


@dataclass(slots=True)
class _Permit:
    """A reservation made here."""

    reservation: Reservation
    tenant_id: str
    request_id: str
    ends_at_s: float
    """In the replica's monotonic time."""
    charged_tokens: int | None = None


class LocalQuota:
    """A `QuotaAuthority` that waits for nobody: guaranteed share x 0.5 / replicas, for at most so many tenants.

    A tenant that is pushed out by others starts with a full bucket when it comes back.
    """

    def __init__(
        self,
        *,
        replicas: int,
        permit_ttl_s: float,
        max_tenants: int,
        max_permits: int,
        clock: Clock = MONOTONIC,
        wall_clock: Clock = time.time,
    ) -> None:
        """Start with full buckets. `wall_clock` gives Unix time, for the expiry that callers are told."""
        self._replicas = replicas
        self._permit_ttl_s = permit_ttl_s
        self._max_tenants = max_tenants
        self._max_permits = max_permits
        self._clock = clock
        self._wall_clock = wall_clock
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._permits: OrderedDict[str, _Permit] = OrderedDict()
        self._permit_of_request: dict[tuple[str, str], str] = {}

    def owns(self, permit_id: str) -> bool:
        """Return True if a permit was made by a replica, this one or another, and not by the store."""
        return permit_id.startswith(f"{PERMIT_MARK}.")

    def recall(self, quota: Quota, request_id: str, cost_tokens: int) -> Reservation | None:
        """Return the reservation that a request already has here. Raises RequestIdReused if its cost was another."""
        self._expire()
        permit_id = self._permit_of_request.get((quota.tenant_id, request_id))
        if permit_id is None:
            return None
        reservation = self._permits[permit_id].reservation
        if reservation.reserved_tokens != cost_tokens:
            raise RequestIdReused
        return reservation

    async def reserve(self, quota: Quota, request_id: str, cost_tokens: int) -> Reservation:
        """As `QuotaAuthority.reserve`."""
        earlier = self.recall(quota, request_id, cost_tokens)
        if earlier is not None:
            return earlier
        bucket, now_s = self._bucket(quota), self._clock()
        delay_s = bucket.take(cost_tokens, now_s)
        if delay_s != 0.0:
            raise quota_exhausted(cost_tokens, bucket.burst_tokens, delay_s)
        permit_id = f"{PERMIT_MARK}.{secrets.token_hex(12)}"
        expires_at_s = self._wall_clock() + self._permit_ttl_s
        reservation = Reservation(permit_id, cost_tokens, expires_at_s, QuotaSource.LOCAL)
        if len(self._permits) >= self._max_permits:
            self._forget_oldest()
        self._permits[permit_id] = _Permit(reservation, quota.tenant_id, request_id, now_s + self._permit_ttl_s)
        self._permit_of_request[quota.tenant_id, request_id] = permit_id
        return reservation

    async def settle(self, tenant_id: str, permit_id: str, charged_tokens: int) -> int:
        """As `QuotaAuthority.settle`."""
        self._expire()
        permit = self._permits.get(permit_id)
        if permit is None or permit.tenant_id != tenant_id:
            raise PermitUnknown
        reserved = permit.reservation.reserved_tokens
        if charged_tokens > reserved:
            raise charged_too_much(reserved)
        if permit.charged_tokens is None:
            permit.charged_tokens = charged_tokens
            bucket = self._buckets.get(tenant_id)
            if bucket is not None:
                bucket.give_back(reserved - charged_tokens)
        elif permit.charged_tokens != charged_tokens:
            raise PermitUnknown
        return reserved - charged_tokens

    async def take(self, quota: Quota, wanted_tokens: int, returned_tokens: int) -> Grant:
        """As `QuotaAuthority.take`."""
        bucket, now_s = self._bucket(quota), self._clock()
        bucket.give_back(returned_tokens)
        granted = bucket.take_up_to(wanted_tokens, now_s)
        delay_s = None
        if wanted_tokens > 0 and granted == 0:
            delay_s = bucket.delay_s(min(wanted_tokens, int(bucket.burst_tokens)))
        return Grant(granted, delay_s, QuotaSource.LOCAL)

    def _bucket(self, quota: Quota) -> TokenBucket:
        """Return the tenant's bucket at its present quota, most recently used."""
        part = quota.guaranteed_share * LOCAL_PART / self._replicas
        rate = quota.rate_tokens_per_s * part
        burst = max(MIN_BURST_TOKENS, quota.burst_tokens * part) if part > 0 else 0.0
        bucket, now_s = self._buckets.get(quota.tenant_id), self._clock()
        if bucket is None:
            if len(self._buckets) >= self._max_tenants:
                self._buckets.popitem(last=False)
            bucket = self._buckets[quota.tenant_id] = TokenBucket(rate, burst, now_s)
            return bucket
        self._buckets.move_to_end(quota.tenant_id)
        if (bucket.rate_tokens_per_s, bucket.burst_tokens) != (rate, burst):
            bucket.resize(rate, burst, now_s)
        return bucket

    def _expire(self) -> None:
        """Forget expired permits: they are taken as spent. All live equally long, so the oldest expire first."""
        now_s = self._clock()
        while self._permits and next(iter(self._permits.values())).ends_at_s <= now_s:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, permit = self._permits.popitem(last=False)
        self._permit_of_request.pop((permit.tenant_id, permit.request_id), None)
