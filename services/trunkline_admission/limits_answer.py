"""What a tenant may use and has used, as an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import usage_service_pb2 as usage_pb
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_admission.quota import LimitState, QuotaAuthority, QuotaSource
from trunkline_admission.tenants import TenantQuotas
from trunkline_map.home_region import home_region
from trunkline_map.source import MapSource


class LimitsAnswer:
    """Answers from the keeper of the tenant's quota; suspended tenants are told of, too."""

    def __init__(
        self,
        tenants: TenantQuotas,
        quotas: QuotaAuthority,
        source: MapSource,
        level_of: Callable[[str], quota_pb.ServiceLevel.ValueType],
    ) -> None:
        """Ask `quotas` for the states; `level_of` tells a tier's level."""
        self._tenants = tenants
        self._quotas = quotas
        self._source = source
        self._level_of = level_of

    async def answer(self, tenant_id: str, key: str) -> usage_pb.GetLimitsResponse:
        """Return every limit of the tenant, and of a key that has limits of its own.

        Raises TenantUnknown, MapNotReady, and what `QuotaAuthority.states` raises.
        """
        entry, quota = self._tenants.told(tenant_id)
        states = await self._quotas.states(quota, key if key in quota.keys else "")
        return usage_pb.GetLimitsResponse(
            tenant_id=tenant_id,
            tier=quota.tier,
            rank=quota.rank,
            limits=_messages(states),
            source=_source_of(states),
            home_region=home_region(self._source.snapshot, entry) or "",
            level=self._level_of(quota.tier),
        )


def _messages(states: Iterable[LimitState]) -> list[usage_pb.LimitState]:
    return [_message(state) for state in states]


def _message(state: LimitState) -> usage_pb.LimitState:
    message = usage_pb.LimitState(
        scope=quota_pb.LimitScope.ValueType(state.scope.value),
        period=quota_pb.LimitPeriod.ValueType(state.period.value),
        unit=quota_pb.LimitUnit.ValueType(state.unit.value),
        limit=state.limit,
        used=state.used,
        burst=state.burst,
        shadow=state.shadow,
        overridden=state.overridden,
    )
    if state.resets_at_s is not None:
        message.reset_time.CopyFrom(Timestamp(seconds=int(state.resets_at_s)))
    return message


def _source_of(states: Iterable[LimitState]) -> admission_pb.QuotaSource.ValueType:
    if any(state.source is QuotaSource.LOCAL for state in states):
        return admission_pb.QUOTA_SOURCE_LOCAL
    return admission_pb.QUOTA_SOURCE_AUTHORITY
