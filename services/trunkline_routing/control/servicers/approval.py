"""ApprovalService: parse, call a use case, render."""

from __future__ import annotations

import re
from typing import Any, Final

import grpc

from trunkline.control.v1 import approval_service_pb2 as control_pb
from trunkline.control.v1 import approval_service_pb2_grpc as control_grpc
from trunkline.storage.v1 import map_records_pb2 as storage_pb
from trunkline_mesh.errors import invalid_field
from trunkline_mesh.request import current_principal, current_request
from trunkline_routing.control.approvals import Approvals

Context = grpc.aio.ServicerContext[Any, Any]

_ID: Final = re.compile(r"[0-9a-f]{32}")


class ApprovalServicer(control_grpc.ApprovalServiceServicer):
    """Changes that wait for a second person."""

    def __init__(self, approvals: Approvals) -> None:
        """Answer with the use cases of approvals."""
        self._approvals = approvals

    async def ListApprovals(
        self, request: control_pb.ListApprovalsRequest, context: Context
    ) -> control_pb.ListApprovalsResponse:
        """Read all that are pending, or given and not used."""
        records = await self._approvals.listed(current_request().deadline)
        return control_pb.ListApprovalsResponse(approvals=[_render(record, _state(record)) for record in records])

    async def ApproveChange(
        self, request: control_pb.ApproveChangeRequest, context: Context
    ) -> control_pb.ApproveChangeResponse:
        """Approve a change that somebody else asked for."""
        decider, deadline = current_principal().subject, current_request().deadline
        record = await self._approvals.approve(_parse_id(request.approval_id), decider, deadline)
        return control_pb.ApproveChangeResponse(approval=_render(record, _state(record)))

    async def RejectChange(
        self, request: control_pb.RejectChangeRequest, context: Context
    ) -> control_pb.RejectChangeResponse:
        """Reject a change, or take it back."""
        decider, deadline = current_principal().subject, current_request().deadline
        record = await self._approvals.reject(_parse_id(request.approval_id), decider, deadline)
        return control_pb.RejectChangeResponse(approval=_render(record, control_pb.APPROVAL_STATE_REJECTED))


def _parse_id(approval_id: str) -> str:
    if not _ID.fullmatch(approval_id):
        raise invalid_field("approval_id", "must be 32 hexadecimal digits")
    return approval_id


def _state(record: storage_pb.ApprovalRecord) -> control_pb.ApprovalState.ValueType:
    return control_pb.APPROVAL_STATE_APPROVED if record.approved else control_pb.APPROVAL_STATE_PENDING


def _render(record: storage_pb.ApprovalRecord, state: control_pb.ApprovalState.ValueType) -> control_pb.Approval:
    return control_pb.Approval(
        approval_id=record.approval_id,
        state=state,
        requester=record.requester,
        method=record.method,
        summary=record.summary,
        comment=record.comment,
        create_time=record.create_time,
        expire_time=record.expire_time,
        decider=record.decider,
    )
