"""RegionService: parse, call a use case, render."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import region_service_pb2 as control_pb
from trunkline.control.v1 import region_service_pb2_grpc as control_grpc
from trunkline_map.entries import RegionEntry
from trunkline_map.keys import Kind, MapKey
from trunkline_mesh.request import current_request
from trunkline_routing.control.access import current_reader
from trunkline_routing.control.accounts import Accounts
from trunkline_routing.control.change_messages import render_changes, render_step, visible_region
from trunkline_routing.control.messages import parse_id, parse_region, parse_revision, render_region
from trunkline_routing.control.options import digest_of, how_of
from trunkline_routing.control.paging import parse_page
from trunkline_routing.control.region_messages import parse_ramp
from trunkline_routing.control.regions import DEFAULT_RAMP_S, Regions

Context = grpc.aio.ServicerContext[Any, Any]


class RegionServicer(control_grpc.RegionServiceServicer):
    """Regions of the map."""

    def __init__(self, regions: Regions, accounts: Accounts) -> None:
        """Answer with the use cases of regions."""
        self._regions = regions
        self._accounts = accounts

    async def GetRegion(self, request: control_pb.GetRegionRequest, context: Context) -> control_pb.GetRegionResponse:
        """Read one region."""
        region_id = parse_id("region_id", request.region_id)
        entry, token = await self._regions.get(region_id, current_request().deadline)
        return control_pb.GetRegionResponse(region=_shown(entry), map_token=token)

    async def ListRegions(
        self, request: control_pb.ListRegionsRequest, context: Context
    ) -> control_pb.ListRegionsResponse:
        """Read one page of regions."""
        wanted = parse_page(request.page_size, request.page_token)
        page = await self._regions.list(wanted, current_request().deadline)
        return control_pb.ListRegionsResponse(
            regions=map(_shown, page.entries), next_page_token=page.next_page_token, map_token=page.token
        )

    async def PutRegion(self, request: control_pb.PutRegionRequest, context: Context) -> control_pb.PutRegionResponse:
        """Create or replace a region."""
        wanted = parse_region(request.region)
        how, deadline = how_of(request.options), current_request().deadline
        entry, token = await self._accounts.approvals.guarded(
            how, digest_of(request, how.method), lambda how: self._regions.put(wanted, how, deadline), deadline
        )
        return control_pb.PutRegionResponse(region=render_region(entry), map_token=token)

    async def DeleteRegion(
        self, request: control_pb.DeleteRegionRequest, context: Context
    ) -> control_pb.DeleteRegionResponse:
        """Remove a region."""
        region_id, revision = parse_id("region_id", request.region_id), parse_revision(request.revision)
        how, deadline = how_of(request.options), current_request().deadline
        token = await self._accounts.approvals.guarded(
            how,
            digest_of(request, how.method),
            lambda how: self._regions.delete(region_id, revision, how, deadline),
            deadline,
        )
        return control_pb.DeleteRegionResponse(map_token=token)

    async def WatchRegions(
        self, request: control_pb.WatchRegionsRequest, context: Context
    ) -> AsyncGenerator[control_pb.WatchRegionsResponse, None]:
        """Tell every change of regions."""
        reader, deadline = current_reader(), current_request().deadline
        async with aclosing(self._accounts.watches.follow(Kind.REGION, "", request.map_token, deadline)) as steps:
            async for step in steps:
                yield control_pb.WatchRegionsResponse(event=render_step(step, reader))

    async def ListRegionChanges(
        self, request: control_pb.ListRegionChangesRequest, context: Context
    ) -> control_pb.ListRegionChangesResponse:
        """Read one page of the history of one region or of all."""
        named, reader = request.region_id, current_reader()
        wanted, deadline = parse_page(request.page_size, request.page_token), current_request().deadline
        if named:
            key = MapKey(Kind.REGION, parse_id("region_id", named))
            page = await self._accounts.changes.of_entry(key, wanted, deadline)
        else:
            page = await self._accounts.changes.of_kind(Kind.REGION, "", wanted, deadline)
        return control_pb.ListRegionChangesResponse(
            changes=render_changes(page, reader), next_page_token=page.next_page_token
        )

    async def DrainRegion(
        self, request: control_pb.DrainRegionRequest, context: Context
    ) -> control_pb.DrainRegionResponse:
        """Move traffic away from a region."""
        region_id = parse_id("region_id", request.region_id)
        how, deadline = how_of(request.options), current_request().deadline
        entry, token = await self._accounts.approvals.guarded(
            how, digest_of(request, how.method), lambda how: self._regions.drain(region_id, how, deadline), deadline
        )
        return control_pb.DrainRegionResponse(region=render_region(entry), map_token=token)

    async def UndrainRegion(
        self, request: control_pb.UndrainRegionRequest, context: Context
    ) -> control_pb.UndrainRegionResponse:
        """Bring traffic back to a region, gradually."""
        region_id = parse_id("region_id", request.region_id)
        ramp_s = parse_ramp(request.ramp) if request.HasField("ramp") else DEFAULT_RAMP_S
        how, deadline = how_of(request.options), current_request().deadline
        entry, token = await self._accounts.approvals.guarded(
            how,
            digest_of(request, how.method),
            lambda how: self._regions.undrain(region_id, ramp_s, how, deadline),
            deadline,
        )
        return control_pb.UndrainRegionResponse(region=render_region(entry), map_token=token)


def _shown(entry: RegionEntry) -> entries_pb.Region:
    """Return the region as the caller may see it."""
    return render_region(visible_region(entry, current_reader()))
