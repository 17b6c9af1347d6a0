"""TenantService: parse, call a use case, render."""

from __future__ import annotations

from typing import Any

import grpc

from trunkline.control.v1 import tenant_service_pb2 as control_pb
from trunkline.control.v1 import tenant_service_pb2_grpc as control_grpc
from trunkline_mesh.request import current_request
from trunkline_routing.control.access import readable_tenant
from trunkline_routing.control.messages import parse_id, parse_revision, parse_tenant, render_tenant
from trunkline_routing.control.paging import parse_page
from trunkline_routing.control.tenants import Tenants

Context = grpc.aio.ServicerContext[Any, Any]


class TenantServicer(control_grpc.TenantServiceServicer):
    """Tenants of the map."""

    def __init__(self, tenants: Tenants) -> None:
        """Answer with the use cases of tenants."""
        self._tenants = tenants

    async def GetTenant(self, request: control_pb.GetTenantRequest, context: Context) -> control_pb.GetTenantResponse:
        """Read one tenant."""
        tenant_id = readable_tenant(request.tenant_id)
        entry, token = await self._tenants.get(tenant_id, current_request().deadline)
        return control_pb.GetTenantResponse(tenant=render_tenant(entry), map_token=token)

    async def ListTenants(
        self, request: control_pb.ListTenantsRequest, context: Context
    ) -> control_pb.ListTenantsResponse:
        """Read one page of tenants."""
        wanted = parse_page(request.page_size, request.page_token)
        page = await self._tenants.list(wanted, current_request().deadline)
        return control_pb.ListTenantsResponse(
            tenants=map(render_tenant, page.entries), next_page_token=page.next_page_token, map_token=page.token
        )

    async def PutTenant(self, request: control_pb.PutTenantRequest, context: Context) -> control_pb.PutTenantResponse:
        """Create or replace a tenant."""
        entry, token = await self._tenants.put(parse_tenant(request.tenant), current_request().deadline)
        return control_pb.PutTenantResponse(tenant=render_tenant(entry), map_token=token)

    async def DeleteTenant(
        self, request: control_pb.DeleteTenantRequest, context: Context
    ) -> control_pb.DeleteTenantResponse:
        """Remove a tenant."""
        tenant_id, revision = parse_id("tenant_id", request.tenant_id), parse_revision(request.revision)
        token = await self._tenants.delete(tenant_id, revision, current_request().deadline)
        return control_pb.DeleteTenantResponse(map_token=token)
