"""trunkline.admission.v1.UsageService: who may read of whom; the answers are their owners'."""

from __future__ import annotations

from typing import Any, Final, Protocol

import grpc

from trunkline.admission.v1 import usage_service_pb2 as usage_pb
from trunkline.admission.v1 import usage_service_pb2_grpc as usage_grpc
from trunkline_map.entries import TenantEntry
from trunkline_map.source import MapSource
from trunkline_mesh.errors import FieldInvalid, FieldViolation, MethodNotAllowed
from trunkline_mesh.request import ROLE_ADMIN, ROLE_OPERATOR, ROLE_SERVICE, current_principal, tenant_of

MAX_ID_CHARS: Final = 128

_Context = grpc.aio.ServicerContext[Any, Any]


class Limits(Protocol):
    """Tells limits; `LimitsAnswer`."""

    async def answer(self, tenant_id: str, key: str) -> usage_pb.GetLimitsResponse:
        """Return a tenant's limits, and those of one of its credentials. Raises TenantUnknown."""


class Usage(Protocol):
    """Tells what was used; `UsageAnswer`."""

    async def answer(self, request: usage_pb.GetUsageRequest, tenant: TenantEntry) -> usage_pb.GetUsageResponse:
        """Return what a tenant used. Raises FieldInvalid, BackendUnavailable."""


class Objectives(Protocol):
    """Tells what was promised; `ObjectivesAnswer`."""

    async def answer(self, tenant_id: str) -> usage_pb.GetObjectivesResponse:
        """Return one tenant's promise, or all of them."""


class Levels(Protocol):
    """Tells levels; `LevelsAnswer`."""

    async def answer(self) -> usage_pb.GetLevelsResponse:
        """Return the levels of all tiers."""


class UsageServicer(usage_grpc.UsageServiceServicer):
    """The four methods of the contract."""

    def __init__(
        self, limits: Limits, usage: Usage, objectives: Objectives, levels: Levels, *, source: MapSource
    ) -> None:
        """Answer with these; `source` knows the tenants."""
        self._limits = limits
        self._usage = usage
        self._objectives = objectives
        self._levels = levels
        self._source = source

    async def GetLimits(self, request: usage_pb.GetLimitsRequest, context: _Context) -> usage_pb.GetLimitsResponse:
        """Tell every limit that holds for a tenant, and how much of it is used."""
        _check_chars("key", request.key)
        return await self._limits.answer(_named_tenant(request.tenant_id), request.key)

    async def GetUsage(self, request: usage_pb.GetUsageRequest, context: _Context) -> usage_pb.GetUsageResponse:
        """Sum up what a tenant used; one that has been removed is told of by its id, in days of UTC."""
        tenant_id = _named_tenant(request.tenant_id)
        entry = self._source.snapshot.tenant(tenant_id)
        return await self._usage.answer(request, entry or TenantEntry(tenant_id, "", frozenset()))

    async def GetObjectives(
        self, request: usage_pb.GetObjectivesRequest, context: _Context
    ) -> usage_pb.GetObjectivesResponse:
        """Tell the promises and what became of them; all tiers' for an operator or a service that names no tenant."""
        if _may_read_all() and not request.tenant_id:
            return await self._objectives.answer("")
        return await self._objectives.answer(_named_tenant(request.tenant_id))

    async def GetLevels(self, request: usage_pb.GetLevelsRequest, context: _Context) -> usage_pb.GetLevelsResponse:
        """Tell the levels of all tiers, to operators and services."""
        if not _may_read_all():
            raise MethodNotAllowed
        return await self._levels.answer()


def _may_read_all() -> bool:
    principal = current_principal()
    return principal.has_role(ROLE_OPERATOR) or principal.has_role(ROLE_SERVICE)


def _named_tenant(requested: str) -> str:
    """Return whose account to tell: for operators and services any tenant's, for a tenant's admin its own.

    Raises MethodNotAllowed without one of these roles, TenantMismatch for a foreign tenant, FieldInvalid for none.
    """
    _check_chars("tenant_id", requested)
    principal = current_principal()
    if not _may_read_all():
        if not principal.has_role(ROLE_ADMIN):
            raise MethodNotAllowed
        return tenant_of(requested)
    named = requested or principal.tenant_id
    if not named:
        raise FieldInvalid(violations=[FieldViolation("tenant_id", "must name a tenant")])
    return named


def _check_chars(name: str, value: str) -> None:
    if len(value) > MAX_ID_CHARS:
        raise FieldInvalid(violations=[FieldViolation(name, f"must be at most {MAX_ID_CHARS} characters")])
