"""Use cases: one request's permit, and its end."""

from __future__ import annotations

from dataclasses import dataclass

from trunkline_admission.quota import QuotaAuthority, Reservation
from trunkline_admission.tenants import TenantQuotas
from trunkline_mesh.deadline import Deadline


@dataclass(frozen=True, slots=True)
class AdmittedRequest:
    """What one request got."""

    reservation: Reservation
    rank: int
    tier: str


class Permits:
    """Admits requests and settles them."""

    def __init__(self, tenants: TenantQuotas, quotas: QuotaAuthority) -> None:
        """Ask `quotas` for tokens of the tenants that `tenants` knows."""
        self._tenants = tenants
        self._quotas = quotas

    async def admit(
        self, tenant_id: str, request_id: str, cost_tokens: int, map_token: bytes, deadline: Deadline
    ) -> AdmittedRequest:
        """Reserve `cost_tokens` for a request; once, however often it is asked.

        Raises what `TenantQuotas.at` and `QuotaAuthority.reserve` raise.
        """
        quota = await self._tenants.at(tenant_id, map_token, deadline)
        reservation = await self._quotas.reserve(quota, request_id, cost_tokens)
        return AdmittedRequest(reservation, quota.rank, quota.tier)

    async def settle(self, tenant_id: str, permit_id: str, charged_tokens: int) -> int:
        """Return the tokens that went back. Raises what `QuotaAuthority.settle` raises.

        Asks nothing of the map: who was suspended or removed meanwhile may still settle.
        """
        return await self._quotas.settle(tenant_id, permit_id, charged_tokens)
