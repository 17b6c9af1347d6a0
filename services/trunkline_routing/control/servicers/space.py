"""SpaceService: parse, call a use case, render."""

from __future__ import annotations

from typing import Any

import grpc

from trunkline.control.v1 import space_service_pb2 as control_pb
from trunkline.control.v1 import space_service_pb2_grpc as control_grpc
from trunkline_mesh.request import current_request
from trunkline_routing.control.messages import parse_id, parse_revision, parse_space, render_space
from trunkline_routing.control.paging import parse_page
from trunkline_routing.control.spaces import Spaces

Context = grpc.aio.ServicerContext[Any, Any]


class SpaceServicer(control_grpc.SpaceServiceServicer):
    """Spaces of the map."""

    def __init__(self, spaces: Spaces) -> None:
        """Answer with the use cases of spaces."""
        self._spaces = spaces

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
        entry, token = await self._spaces.put(parse_space(request.space), current_request().deadline)
        return control_pb.PutSpaceResponse(space=render_space(entry), map_token=token)

    async def DeleteSpace(
        self, request: control_pb.DeleteSpaceRequest, context: Context
    ) -> control_pb.DeleteSpaceResponse:
        """Remove a space."""
        space_id, revision = parse_id("space_id", request.space_id), parse_revision(request.revision)
        token = await self._spaces.delete(space_id, revision, current_request().deadline)
        return control_pb.DeleteSpaceResponse(map_token=token)
