"""MapService: parse, call a use case, render."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from trunkline.control.v1 import map_service_pb2 as control_pb
from trunkline.control.v1 import map_service_pb2_grpc as control_grpc
from trunkline_mesh.request import current_request
from trunkline_routing.control.approvals import Approvals
from trunkline_routing.control.import_messages import parse_batch, parse_import_id
from trunkline_routing.control.map_epoch import Epoch
from trunkline_routing.control.map_export import Export
from trunkline_routing.control.map_import import Imports
from trunkline_routing.control.map_status import Status
from trunkline_routing.control.messages import render_entry
from trunkline_routing.control.options import digest_of, how_of
from trunkline_routing.control.status_messages import render_status

Context = grpc.aio.ServicerContext[Any, Any]


class MapServicer(control_grpc.MapServiceServicer):
    """The map as a whole."""

    def __init__(self, status: Status, export: Export, imports: Imports, epoch: Epoch, approvals: Approvals) -> None:
        """Answer with these use cases."""
        self._status = status
        self._export = export
        self._imports = imports
        self._epoch = epoch
        self._approvals = approvals

    async def GetMapStatus(
        self, request: control_pb.GetMapStatusRequest, context: Context
    ) -> control_pb.GetMapStatusResponse:
        """Tell how the map and its store are."""
        return render_status(await self._status.get(current_request().deadline))

    async def ExportMap(
        self, request: control_pb.ExportMapRequest, context: Context
    ) -> AsyncGenerator[control_pb.ExportMapResponse, None]:
        """Read the whole map."""
        async with aclosing(self._export.run(current_request().deadline)) as parts:
            async for part in parts:
                yield control_pb.ExportMapResponse(
                    entries=(shown for entry in part.entries if (shown := render_entry(entry)) is not None),
                    map_token=part.token,
                    total_count=part.total,
                )

    async def ImportBatch(
        self, request: control_pb.ImportBatchRequest, context: Context
    ) -> control_pb.ImportBatchResponse:
        """Apply one batch of an import."""
        batch = parse_batch(request)
        how, deadline = how_of(request.options), current_request().deadline
        if how.approval_id:
            # The approval of a batch that was applied is used up: a repeat must be known before it is asked for.
            token = await self._imports.repeat_of(batch, deadline)
            if token:
                return control_pb.ImportBatchResponse(map_token=token)
        token = await self._approvals.guarded(
            how, digest_of(request, how.method), lambda how: self._imports.apply(batch, how, deadline), deadline
        )
        return control_pb.ImportBatchResponse(map_token=token)

    async def GetImport(self, request: control_pb.GetImportRequest, context: Context) -> control_pb.GetImportResponse:
        """Tell how far an import has come."""
        record, token = await self._imports.get(parse_import_id(request.import_id), current_request().deadline)
        return control_pb.GetImportResponse(
            actor=record.actor,
            next_batch_number=record.batch_count + 1,
            applied_count=record.entry_count,
            update_time=record.update_time,
            map_token=token,
        )

    async def RenewEpoch(
        self, request: control_pb.RenewEpochRequest, context: Context
    ) -> control_pb.RenewEpochResponse:
        """Give the map a new epoch."""
        how, deadline = how_of(request.options), current_request().deadline
        token = await self._approvals.guarded(
            how, digest_of(request, how.method), lambda how: self._epoch.renew(how, deadline), deadline
        )
        return control_pb.RenewEpochResponse(map_token=token)
