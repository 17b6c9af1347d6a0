"""RegionService: parse, call a use case, render."""

from __future__ import annotations

from typing import Any

import grpc

from trunkline.control.v1 import region_service_pb2 as control_pb
from trunkline.control.v1 import region_service_pb2_grpc as control_grpc
from trunkline_mesh.request import current_request
from trunkline_routing.control.messages import parse_id, parse_region, parse_revision, render_region
from trunkline_routing.control.paging import parse_page
from trunkline_routing.control.regions import Regions

Context = grpc.aio.ServicerContext[Any, Any]


class RegionServicer(control_grpc.RegionServiceServicer):
    """Regions of the map."""

    def __init__(self, regions: Regions) -> None:
        """Answer with the use cases of regions."""
        self._regions = regions

    async def GetRegion(self, request: control_pb.GetRegionRequest, context: Context) -> control_pb.GetRegionResponse:
        """Read one region."""
        region_id = parse_id("region_id", request.region_id)
        entry, token = await self._regions.get(region_id, current_request().deadline)
        return control_pb.GetRegionResponse(region=render_region(entry), map_token=token)

    async def ListRegions(
        self, request: control_pb.ListRegionsRequest, context: Context
    ) -> control_pb.ListRegionsResponse:
        """Read one page of regions."""
        wanted = parse_page(request.page_size, request.page_token)
        page = await self._regions.list(wanted, current_request().deadline)
        return control_pb.ListRegionsResponse(
            regions=map(render_region, page.entries), next_page_token=page.next_page_token, map_token=page.token
        )

    async def PutRegion(self, request: control_pb.PutRegionRequest, context: Context) -> control_pb.PutRegionResponse:
        """Create or replace a region."""
        entry, token = await self._regions.put(parse_region(request.region), current_request().deadline)
        return control_pb.PutRegionResponse(region=render_region(entry), map_token=token)

    async def DeleteRegion(
        self, request: control_pb.DeleteRegionRequest, context: Context
    ) -> control_pb.DeleteRegionResponse:
        """Remove a region."""
        region_id, revision = parse_id("region_id", request.region_id), parse_revision(request.revision)
        token = await self._regions.delete(region_id, revision, current_request().deadline)
        return control_pb.DeleteRegionResponse(map_token=token)
