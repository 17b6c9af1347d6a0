"""Tenants and their collections."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline.control.v1 import collection_map_service_pb2 as collections_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import tenant_service_pb2 as tenants_pb
from trunkline_client import control_methods, methods
from trunkline_client.control_session import (
    PAGE_SIZE,
    PLAINLY,
    ControlSession,
    HowToChange,
    Versioned,
    all_pages,
    latest_changes,
)
from trunkline_client.control_stream import events, resuming


class TenantsClient(ControlSession):
    """Reads and changes tenants and collections."""

    async def tenant(self, tenant_id: str) -> Versioned[entries_pb.Tenant]:
        """Read one tenant."""
        response = await self._ask(methods.GET_TENANT, tenants_pb.GetTenantRequest(tenant_id=tenant_id))
        return Versioned(response.tenant, response.map_token)

    async def tenants(self) -> Versioned[Sequence[entries_pb.Tenant]]:
        """List the tenants."""
        return await all_pages(
            lambda token: self._ask(
                methods.LIST_TENANTS, tenants_pb.ListTenantsRequest(page_size=PAGE_SIZE, page_token=token)
            ),
            lambda page: page.tenants,
        )

    async def put_tenant(self, entry: entries_pb.Tenant, how: HowToChange = PLAINLY) -> Versioned[entries_pb.Tenant]:
        """Create or replace a tenant."""
        request = tenants_pb.PutTenantRequest(tenant=entry, options=how.to_proto())
        response = await self._change(methods.PUT_TENANT, request)
        return Versioned(response.tenant, response.map_token)

    async def delete_tenant(self, tenant_id: str, revision: int = 0, how: HowToChange = PLAINLY) -> bytes:
        """Remove a tenant and its policy; revision 0 removes whatever is there. Returns the change's token."""
        request = tenants_pb.DeleteTenantRequest(tenant_id=tenant_id, revision=revision, options=how.to_proto())
        return (await self._change(control_methods.DELETE_TENANT, request)).map_token

    async def tenant_changes(self, tenant_id: str = "", *, limit: int = 100) -> Sequence[changes_pb.MapChange]:
        """List the latest changes of a tenant, or of all, the latest first."""
        return await latest_changes(
            lambda size, token: self._ask(
                control_methods.LIST_TENANT_CHANGES,
                tenants_pb.ListTenantChangesRequest(tenant_id=tenant_id, page_size=size, page_token=token),
            ),
            limit,
        )

    def watch_tenants(self, map_token: bytes = b"") -> AsyncGenerator[changes_pb.MapEvent, None]:
        """Tell every change of tenants after a token's state, or after all that is there now; see `resuming`."""
        return resuming(
            lambda after: events(
                self._context, control_methods.WATCH_TENANTS, tenants_pb.WatchTenantsRequest(map_token=after)
            ),
            map_token,
        )

    async def collection(self, tenant_id: str, collection_id: str) -> Versioned[entries_pb.Collection]:
        """Read one collection."""
        request = collections_pb.GetCollectionRequest(tenant_id=tenant_id, collection_id=collection_id)
        response = await self._ask(methods.GET_COLLECTION, request)
        return Versioned(response.collection, response.map_token)

    async def collections(self, tenant_id: str = "") -> Versioned[Sequence[entries_pb.Collection]]:
        """List a tenant's collections."""
        return await all_pages(
            lambda token: self._ask(
                methods.LIST_COLLECTIONS,
                collections_pb.ListCollectionsRequest(tenant_id=tenant_id, page_size=PAGE_SIZE, page_token=token),
            ),
            lambda page: page.collections,
        )

    async def put_collection(
        self, entry: entries_pb.Collection, how: HowToChange = PLAINLY
    ) -> Versioned[entries_pb.Collection]:
        """Create or replace a collection."""
        request = collections_pb.PutCollectionRequest(collection=entry, options=how.to_proto())
        response = await self._change(methods.PUT_COLLECTION, request)
        return Versioned(response.collection, response.map_token)

    async def delete_collection(
        self, tenant_id: str, collection_id: str, revision: int = 0, how: HowToChange = PLAINLY
    ) -> bytes:
        """Remove a collection from the map; revision 0 removes whatever is there. Returns the change's token."""
        request = collections_pb.DeleteCollectionRequest(
            tenant_id=tenant_id, collection_id=collection_id, revision=revision, options=how.to_proto()
        )
        return (await self._change(methods.DELETE_COLLECTION, request)).map_token

    async def collection_changes(
        self, tenant_id: str = "", collection_id: str = "", *, limit: int = 100
    ) -> Sequence[changes_pb.MapChange]:
        """List the latest changes of a collection, or of all of a tenant, the latest first."""
        return await latest_changes(
            lambda size, token: self._ask(
                control_methods.LIST_COLLECTION_CHANGES,
                collections_pb.ListCollectionChangesRequest(
                    tenant_id=tenant_id, collection_id=collection_id, page_size=size, page_token=token
                ),
            ),
            limit,
        )

    def watch_collections(
        self, tenant_id: str = "", map_token: bytes = b""
    ) -> AsyncGenerator[changes_pb.MapEvent, None]:
        """Tell every change of a tenant's collections after a token's state, or after all that is there now."""
        return resuming(
            lambda after: events(
                self._context,
                control_methods.WATCH_COLLECTIONS,
                collections_pb.WatchCollectionsRequest(tenant_id=tenant_id, map_token=after),
            ),
            map_token,
        )
