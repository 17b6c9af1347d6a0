"""CollectionMapService: parse, call a use case, render."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from trunkline.control.v1 import collection_map_service_pb2 as control_pb
from trunkline.control.v1 import collection_map_service_pb2_grpc as control_grpc
from trunkline_map.keys import Kind, MapKey
from trunkline_mesh.request import current_request
from trunkline_routing.control.access import current_reader, readable_tenant, writable_tenant
from trunkline_routing.control.accounts import Accounts
from trunkline_routing.control.change_messages import render_changes, render_step
from trunkline_routing.control.collection_map import Collections
from trunkline_routing.control.messages import parse_collection, parse_id, parse_revision, render_collection
from trunkline_routing.control.options import digest_of, how_of
from trunkline_routing.control.paging import parse_page

Context = grpc.aio.ServicerContext[Any, Any]


class CollectionMapServicer(control_grpc.CollectionMapServiceServicer):
    """Collections of the map."""

    def __init__(self, collections: Collections, accounts: Accounts) -> None:
        """Answer with the use cases of collections."""
        self._collections = collections
        self._accounts = accounts

    async def GetCollection(
        self, request: control_pb.GetCollectionRequest, context: Context
    ) -> control_pb.GetCollectionResponse:
        """Read one collection."""
        tenant_id = readable_tenant(request.tenant_id)
        collection_id = parse_id("collection_id", request.collection_id)
        entry, token = await self._collections.get(tenant_id, collection_id, current_request().deadline)
        return control_pb.GetCollectionResponse(collection=render_collection(entry), map_token=token)

    async def ListCollections(
        self, request: control_pb.ListCollectionsRequest, context: Context
    ) -> control_pb.ListCollectionsResponse:
        """Read one page of a tenant's collections."""
        tenant_id = readable_tenant(request.tenant_id)
        wanted = parse_page(request.page_size, request.page_token)
        page = await self._collections.list(tenant_id, wanted, current_request().deadline)
        return control_pb.ListCollectionsResponse(
            collections=map(render_collection, page.entries),
            next_page_token=page.next_page_token,
            map_token=page.token,
        )

    async def PutCollection(
        self, request: control_pb.PutCollectionRequest, context: Context
    ) -> control_pb.PutCollectionResponse:
        """Create or replace a collection."""
        tenant_id = writable_tenant(request.collection.tenant_id)
        wanted = parse_collection(request.collection, tenant_id)
        how, deadline = how_of(request.options), current_request().deadline
        entry, token = await self._accounts.approvals.guarded(
            how, digest_of(request, how.method), lambda how: self._collections.put(wanted, how, deadline), deadline
        )
        return control_pb.PutCollectionResponse(collection=render_collection(entry), map_token=token)

    async def DeleteCollection(
        self, request: control_pb.DeleteCollectionRequest, context: Context
    ) -> control_pb.DeleteCollectionResponse:
        """Remove a collection."""
        tenant_id = writable_tenant(request.tenant_id)
        collection_id, revision = parse_id("collection_id", request.collection_id), parse_revision(request.revision)
        how, deadline = how_of(request.options), current_request().deadline
        token = await self._accounts.approvals.guarded(
            how,
            digest_of(request, how.method),
            lambda how: self._collections.delete(tenant_id, collection_id, revision, how, deadline),
            deadline,
        )
        return control_pb.DeleteCollectionResponse(map_token=token)

    async def WatchCollections(
        self, request: control_pb.WatchCollectionsRequest, context: Context
    ) -> AsyncGenerator[control_pb.WatchCollectionsResponse, None]:
        """Tell every change of a tenant's collections."""
        tenant_id, reader = readable_tenant(request.tenant_id), current_reader()
        deadline = current_request().deadline
        async with aclosing(
            self._accounts.watches.follow(Kind.COLLECTION, tenant_id, request.map_token, deadline)
        ) as steps:
            async for step in steps:
                yield control_pb.WatchCollectionsResponse(event=render_step(step, reader))

    async def ListCollectionChanges(
        self, request: control_pb.ListCollectionChangesRequest, context: Context
    ) -> control_pb.ListCollectionChangesResponse:
        """Read one page of the history of one collection or of a tenant's all."""
        tenant_id, deadline = readable_tenant(request.tenant_id), current_request().deadline
        wanted = parse_page(request.page_size, request.page_token)
        if request.collection_id:
            key = MapKey(Kind.COLLECTION, tenant_id, parse_id("collection_id", request.collection_id))
            page = await self._accounts.changes.of_entry(key, wanted, deadline)
        else:
            page = await self._accounts.changes.of_kind(Kind.COLLECTION, tenant_id, wanted, deadline)
        return control_pb.ListCollectionChangesResponse(
            changes=render_changes(page, current_reader()), next_page_token=page.next_page_token
        )
