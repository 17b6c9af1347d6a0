"""Regions and embedding spaces."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from google.protobuf import duration_pb2

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import region_service_pb2 as regions_pb
from trunkline.control.v1 import space_service_pb2 as spaces_pb
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


class PlacesClient(ControlSession):
    """Reads and changes regions and spaces."""

    async def region(self, region_id: str) -> Versioned[entries_pb.Region]:
        """Read one region."""
        response = await self._ask(methods.GET_REGION, regions_pb.GetRegionRequest(region_id=region_id))
        return Versioned(response.region, response.map_token)

    async def regions(self) -> Versioned[Sequence[entries_pb.Region]]:
        """List the regions."""
        return await all_pages(
            lambda token: self._ask(
                methods.LIST_REGIONS, regions_pb.ListRegionsRequest(page_size=PAGE_SIZE, page_token=token)
            ),
            lambda page: page.regions,
        )

    async def put_region(self, entry: entries_pb.Region, how: HowToChange = PLAINLY) -> Versioned[entries_pb.Region]:
        """Create or replace a region."""
        request = regions_pb.PutRegionRequest(region=entry, options=how.to_proto())
        response = await self._change(methods.PUT_REGION, request)
        return Versioned(response.region, response.map_token)

    async def delete_region(self, region_id: str, revision: int = 0, how: HowToChange = PLAINLY) -> bytes:
        """Remove a region; revision 0 removes whatever is there. Returns the change's token."""
        request = regions_pb.DeleteRegionRequest(region_id=region_id, revision=revision, options=how.to_proto())
        return (await self._change(control_methods.DELETE_REGION, request)).map_token

    async def drain_region(self, region_id: str, how: HowToChange = PLAINLY) -> Versioned[entries_pb.Region]:
        """Move traffic away from a region."""
        request = regions_pb.DrainRegionRequest(region_id=region_id, options=how.to_proto())
        response = await self._change(control_methods.DRAIN_REGION, request)
        return Versioned(response.region, response.map_token)

    async def undrain_region(
        self, region_id: str, ramp_s: float | None = None, how: HowToChange = PLAINLY
    ) -> Versioned[entries_pb.Region]:
        """Bring traffic back over `ramp_s` seconds, 0 to 3,600; None for the server's default of 60."""
        request = regions_pb.UndrainRegionRequest(region_id=region_id, options=how.to_proto())
        if ramp_s is not None:
            ramp = duration_pb2.Duration()
            ramp.FromNanoseconds(round(ramp_s * 1e9))
            request.ramp.CopyFrom(ramp)
        response = await self._change(control_methods.UNDRAIN_REGION, request)
        return Versioned(response.region, response.map_token)

    async def region_changes(self, region_id: str = "", *, limit: int = 100) -> Sequence[changes_pb.MapChange]:
        """List the latest changes of a region, or of all, the latest first."""
        return await latest_changes(
            lambda size, token: self._ask(
                control_methods.LIST_REGION_CHANGES,
                regions_pb.ListRegionChangesRequest(region_id=region_id, page_size=size, page_token=token),
            ),
            limit,
        )

    def watch_regions(self, map_token: bytes = b"") -> AsyncGenerator[changes_pb.MapEvent, None]:
        """Tell every change of regions after a token's state, or after all that is there now; see `resuming`."""
        return resuming(
            lambda after: events(
                self._context, control_methods.WATCH_REGIONS, regions_pb.WatchRegionsRequest(map_token=after)
            ),
            map_token,
        )

    async def space(self, space_id: str) -> Versioned[entries_pb.Space]:
        """Read one embedding space."""
        response = await self._ask(methods.GET_SPACE, spaces_pb.GetSpaceRequest(space_id=space_id))
        return Versioned(response.space, response.map_token)

    async def spaces(self) -> Versioned[Sequence[entries_pb.Space]]:
        """List the embedding spaces."""
        return await all_pages(
            lambda token: self._ask(
                methods.LIST_SPACES, spaces_pb.ListSpacesRequest(page_size=PAGE_SIZE, page_token=token)
            ),
            lambda page: page.spaces,
        )

    async def put_space(self, entry: entries_pb.Space, how: HowToChange = PLAINLY) -> Versioned[entries_pb.Space]:
        """Create or replace an embedding space."""
        request = spaces_pb.PutSpaceRequest(space=entry, options=how.to_proto())
        response = await self._change(methods.PUT_SPACE, request)
        return Versioned(response.space, response.map_token)

    async def delete_space(self, space_id: str, revision: int = 0, how: HowToChange = PLAINLY) -> bytes:
        """Remove a space; revision 0 removes whatever is there. Returns the change's token."""
        request = spaces_pb.DeleteSpaceRequest(space_id=space_id, revision=revision, options=how.to_proto())
        return (await self._change(control_methods.DELETE_SPACE, request)).map_token

    async def space_changes(self, space_id: str = "", *, limit: int = 100) -> Sequence[changes_pb.MapChange]:
        """List the latest changes of a space, or of all, the latest first."""
        return await latest_changes(
            lambda size, token: self._ask(
                control_methods.LIST_SPACE_CHANGES,
                spaces_pb.ListSpaceChangesRequest(space_id=space_id, page_size=size, page_token=token),
            ),
            limit,
        )

    def watch_spaces(self, map_token: bytes = b"") -> AsyncGenerator[changes_pb.MapEvent, None]:
        """Tell every change of spaces after a token's state, or after all that is there now; see `resuming`."""
        return resuming(
            lambda after: events(
                self._context, control_methods.WATCH_SPACES, spaces_pb.WatchSpacesRequest(map_token=after)
            ),
            map_token,
        )
