"""What tenants may use, have used, and were promised: the read side of one region's admission.

Answers are the contract's own messages (`trunkline.admission.v1`), as the control client's entries are. Each region
tells of itself: ask one client for each, and add up what can be added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import usage_service_pb2 as usage_pb
from trunkline.admission.v1 import usage_service_pb2_grpc as usage_grpc
from trunkline_client.methods import Method
from trunkline_client.requests import checked_deadline, representable
from trunkline_client.session import Session

USAGE_DEADLINE_S: Final = 10.0
"""The contract's cap."""

GET_LIMITS: Final[Method[usage_pb.GetLimitsRequest, usage_pb.GetLimitsResponse]] = Method(
    "GetLimits", lambda channel: usage_grpc.UsageServiceStub(channel).GetLimits
)
GET_USAGE: Final[Method[usage_pb.GetUsageRequest, usage_pb.GetUsageResponse]] = Method(
    "GetUsage", lambda channel: usage_grpc.UsageServiceStub(channel).GetUsage
)
GET_OBJECTIVES: Final[Method[usage_pb.GetObjectivesRequest, usage_pb.GetObjectivesResponse]] = Method(
    "GetObjectives", lambda channel: usage_grpc.UsageServiceStub(channel).GetObjectives
)
GET_LEVELS: Final[Method[usage_pb.GetLevelsRequest, usage_pb.GetLevelsResponse]] = Method(
    "GetLevels", lambda channel: usage_grpc.UsageServiceStub(channel).GetLevels
)


class UsageClient(Session):
    """Asks the admission services of one region. Needs a tenant's admin for its own tenant, or an operator.

    `tenant_id` may be left empty by a tenant for itself. Every method raises TrunklineError.
    """

    async def limits(
        self, tenant_id: str = "", *, key: str = "", deadline_s: float | None = None
    ) -> usage_pb.GetLimitsResponse:
        """Tell every limit that holds now and how much of it is used; with `key`, those of that credential, too."""
        with representable():
            request = usage_pb.GetLimitsRequest(tenant_id=tenant_id, key=key)
        return (await self._call(GET_LIMITS, request, checked_deadline(deadline_s, USAGE_DEADLINE_S))).response

    async def usage(
        self,
        tenant_id: str = "",
        *,
        first_day: str = "",
        last_day: str = "",
        label: str = "",
        deadline_s: float | None = None,
    ) -> usage_pb.GetUsageResponse:
        """Sum up what was used, by day, stage, collection and the label of that name.

        Days are `YYYY-MM-DD` in the tenant's time zone, at most 366; without any it is today.
        """
        with representable():
            request = usage_pb.GetUsageRequest(tenant_id=tenant_id, first_day=first_day, last_day=last_day, label=label)
        return (await self._call(GET_USAGE, request, checked_deadline(deadline_s, USAGE_DEADLINE_S))).response

    async def objectives(self, tenant_id: str = "", *, deadline_s: float | None = None) -> Sequence[usage_pb.Objective]:
        """Tell the promises of a tenant and its tier, or of all tiers, and what is left of their error budgets."""
        with representable():
            request = usage_pb.GetObjectivesRequest(tenant_id=tenant_id)
        checked_s = checked_deadline(deadline_s, USAGE_DEADLINE_S)
        return tuple((await self._call(GET_OBJECTIVES, request, checked_s)).response.objectives)

    async def levels(self, *, deadline_s: float | None = None) -> Sequence[admission_pb.TierLevel]:
        """Tell how much the region leaves out for each tier, the lowest rank first. For operators and services."""
        checked_s = checked_deadline(deadline_s, USAGE_DEADLINE_S)
        return tuple((await self._call(GET_LEVELS, usage_pb.GetLevelsRequest(), checked_s)).response.levels)
