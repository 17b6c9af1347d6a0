"""TenantService: parse, call a use case, render."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from trunkline.control.v1 import tenant_service_pb2 as control_pb
from trunkline.control.v1 import tenant_service_pb2_grpc as control_grpc
from trunkline_map.keys import Kind, MapKey
from trunkline_mesh.request import current_request
from trunkline_routing.control.access import current_reader, readable_tenant
from trunkline_routing.control.accounts import Accounts
from trunkline_routing.control.change_messages import render_changes, render_step
from trunkline_routing.control.messages import parse_id, parse_revision, parse_tenant, render_tenant
from trunkline_routing.control.options import digest_of, how_of
from trunkline_routing.control.paging import parse_page
from trunkline_routing.control.tenants import Tenants

Context = grpc.aio.ServicerContext[Any, Any]


class TenantServicer(control_grpc.TenantServiceServicer):
    """Tenants of the map."""

    def __init__(self, tenants: Tenants, accounts: Accounts) -> None:
        """Answer with the use cases of tenants."""
        self._tenants = tenants
        self._accounts = accounts

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
        wanted = parse_tenant(request.tenant)
        how, deadline = how_of(request.options), current_request().deadline
        entry, token = await self._accounts.approvals.guarded(
            how, digest_of(request, how.method), lambda how: self._tenants.put(wanted, how, deadline), deadline
        )
        return control_pb.PutTenantResponse(tenant=render_tenant(entry), map_token=token)

    async def DeleteTenant(
        self, request: control_pb.DeleteTenantRequest, context: Context
    ) -> control_pb.DeleteTenantResponse:
        """Remove a tenant."""
        tenant_id, revision = parse_id("tenant_id", request.tenant_id), parse_revision(request.revision)
        how, deadline = how_of(request.options), current_request().deadline
        token = await self._accounts.approvals.guarded(
            how,
            digest_of(request, how.method),
            lambda how: self._tenants.delete(tenant_id, revision, how, deadline),
            deadline,
        )
        return control_pb.DeleteTenantResponse(map_token=token)

    async def WatchTenants(
        self, request: control_pb.WatchTenantsRequest, context: Context
    ) -> AsyncGenerator[control_pb.WatchTenantsResponse, None]:
        """Tell every change of tenants."""
        reader, deadline = current_reader(), current_request().deadline
        async with aclosing(self._accounts.watches.follow(Kind.TENANT, "", request.map_token, deadline)) as steps:
            async for step in steps:
                yield control_pb.WatchTenantsResponse(event=render_step(step, reader))

    async def ListTenantChanges(
        self, request: control_pb.ListTenantChangesRequest, context: Context
    ) -> control_pb.ListTenantChangesResponse:
        """Read one page of the history of one tenant or of all."""
        reader = current_reader()
        named = request.tenant_id if reader.operator else readable_tenant(request.tenant_id)
        wanted, deadline = parse_page(request.page_size, request.page_token), current_request().deadline
        if named:
            key = MapKey(Kind.TENANT, parse_id("tenant_id", named))
            page = await self._accounts.changes.of_entry(key, wanted, deadline)
        else:
            page = await self._accounts.changes.of_kind(Kind.TENANT, "", wanted, deadline)
        return control_pb.ListTenantChangesResponse(
            changes=render_changes(page, reader), next_page_token=page.next_page_token
        )
