"""SpaceService: parse, call a use case, render."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from trunkline.control.v1 import space_service_pb2 as control_pb
from trunkline.control.v1 import space_service_pb2_grpc as control_grpc
from trunkline_map.keys import Kind, MapKey
from trunkline_mesh.request import current_request
from trunkline_routing.control.access import current_reader
from trunkline_routing.control.accounts import Accounts
from trunkline_routing.control.change_messages import render_changes, render_step
from trunkline_routing.control.messages import parse_id, parse_revision, parse_space, render_space
from trunkline_routing.control.options import digest_of, how_of
from trunkline_routing.control.paging import parse_page
from trunkline_routing.control.spaces import Spaces

Context = grpc.aio.ServicerContext[Any, Any]


class SpaceServicer(control_grpc.SpaceServiceServicer):
    """Spaces of the map."""

    def __init__(self, spaces: Spaces, accounts: Accounts) -> None:
        """Answer with the use cases of spaces."""
        self._spaces = spaces
        self._accounts = accounts

    async def GetSpace(self, request: control_pb.GetSpaceRequest, context: Context) -> control_pb.GetSpaceResponse:
        """Read one space."""
        space_id = parse_id("space_id", request.space_id)
        entry, token = await self._spaces.get(space_id, current_request().deadline)
        return control_pb.GetSpaceResponse(space=render_space(entry), map_token=token)

    async def ListSpaces(
        self, request: control_pb.ListSpacesRequest, context: Context
    ) -> control_pb.ListSpacesResponse:
        """Read one page of spaces."""
        wanted = parse_page(request.page_size, request.page_token)
        page = await self._spaces.list(wanted, current_request().deadline)
        return control_pb.ListSpacesResponse(
            spaces=map(render_space, page.entries), next_page_token=page.next_page_token, map_token=page.token
        )

    async def PutSpace(self, request: control_pb.PutSpaceRequest, context: Context) -> control_pb.PutSpaceResponse:
        """Create or replace a space."""
        wanted = parse_space(request.space)
        how, deadline = how_of(request.options), current_request().deadline
        entry, token = await self._accounts.approvals.guarded(
            how, digest_of(request, how.method), lambda how: self._spaces.put(wanted, how, deadline), deadline
        )
        return control_pb.PutSpaceResponse(space=render_space(entry), map_token=token)

    async def DeleteSpace(
        self, request: control_pb.DeleteSpaceRequest, context: Context
    ) -> control_pb.DeleteSpaceResponse:
        """Remove a space."""
        space_id, revision = parse_id("space_id", request.space_id), parse_revision(request.revision)
        how, deadline = how_of(request.options), current_request().deadline
        token = await self._accounts.approvals.guarded(
            how,
            digest_of(request, how.method),
            lambda how: self._spaces.delete(space_id, revision, how, deadline),
            deadline,
        )
        return control_pb.DeleteSpaceResponse(map_token=token)

    async def WatchSpaces(
        self, request: control_pb.WatchSpacesRequest, context: Context
    ) -> AsyncGenerator[control_pb.WatchSpacesResponse, None]:
        """Tell every change of spaces."""
        reader, deadline = current_reader(), current_request().deadline
        async with aclosing(self._accounts.watches.follow(Kind.SPACE, "", request.map_token, deadline)) as steps:
            async for step in steps:
                yield control_pb.WatchSpacesResponse(event=render_step(step, reader))

    async def ListSpaceChanges(
        self, request: control_pb.ListSpaceChangesRequest, context: Context
    ) -> control_pb.ListSpaceChangesResponse:
        """Read one page of the history of one space or of all."""
        named, reader = request.space_id, current_reader()
        wanted, deadline = parse_page(request.page_size, request.page_token), current_request().deadline
        if named:
            key = MapKey(Kind.SPACE, parse_id("space_id", named))
            page = await self._accounts.changes.of_entry(key, wanted, deadline)
        else:
            page = await self._accounts.changes.of_kind(Kind.SPACE, "", wanted, deadline)
        return control_pb.ListSpaceChangesResponse(
            changes=render_changes(page, reader), next_page_token=page.next_page_token
        )
