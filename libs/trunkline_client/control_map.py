"""The map as a whole: its state, export and import, its epoch, and changes that wait for a second person."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final

from trunkline.control.v1 import approval_service_pb2 as approvals_pb
from trunkline.control.v1 import map_service_pb2 as map_pb
from trunkline_client import control_methods
from trunkline_client.control_session import PLAINLY, ControlSession, HowToChange
from trunkline_client.control_stream import stream

EXPORT_WITHIN_S: Final = 300.0
"""The contract's cap of an export."""


class WholeMapClient(ControlSession):
    """Reads and changes the map as a whole. Every method needs the role `operator`."""

    async def map_status(self) -> map_pb.GetMapStatusResponse:
        """Tell how the map and its store are."""
        return await self._ask(control_methods.GET_MAP_STATUS, map_pb.GetMapStatusRequest())

    def export_map(self) -> AsyncGenerator[map_pb.ExportMapResponse, None]:
        """Tell the whole map at one revision: regions, spaces, tenants, collections, at most 500 entries at a time.

        A stream that breaks is not begun again: throw away what it told, and ask anew.
        """
        return stream(self._context, control_methods.EXPORT_MAP, map_pb.ExportMapRequest(), within_s=EXPORT_WITHIN_S)

    async def import_batch(
        self, import_id: str, batch_number: int, changes: Sequence[map_pb.ImportChange], how: HowToChange = PLAINLY
    ) -> bytes:
        """Apply one batch of 1 to 24 changes, all or nothing; return its token. Repeated where the answer is lost."""
        request = map_pb.ImportBatchRequest(
            import_id=import_id, batch_number=batch_number, changes=changes, options=how.to_proto()
        )
        return (await self._change(control_methods.IMPORT_BATCH, request)).map_token

    async def import_state(self, import_id: str) -> map_pb.GetImportResponse:
        """Tell how far an import has come. Raises NotFound for one that is not known."""
        return await self._ask(control_methods.GET_IMPORT, map_pb.GetImportRequest(import_id=import_id))

    async def renew_epoch(self, how: HowToChange = PLAINLY) -> bytes:
        """Give the map a new epoch, so that tokens from before are refused; return a token of the new one."""
        request = map_pb.RenewEpochRequest(options=how.to_proto())
        return (await self._change(control_methods.RENEW_EPOCH, request)).map_token

    async def approvals(self) -> Sequence[approvals_pb.Approval]:
        """List approvals that are pending, or given and not used, the oldest first."""
        request = approvals_pb.ListApprovalsRequest()
        return tuple((await self._ask(control_methods.LIST_APPROVALS, request)).approvals)

    async def approve(self, approval_id: str) -> approvals_pb.Approval:
        """Approve a change that another operator asked for."""
        request = approvals_pb.ApproveChangeRequest(approval_id=approval_id)
        return (await self._change(control_methods.APPROVE_CHANGE, request)).approval

    async def reject(self, approval_id: str) -> approvals_pb.Approval:
        """Reject a change, or take one's own back."""
        request = approvals_pb.RejectChangeRequest(approval_id=approval_id)
        return (await self._change(control_methods.REJECT_CHANGE, request)).approval
