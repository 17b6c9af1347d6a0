"""Who asks, as far as a policy's rules may look at it."""

from __future__ import annotations

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_mesh.errors import DecisionUnknown
from trunkline_mesh.request import Principal
from trunkline_policy.results import NOBODY, Caller
from trunkline_routing.edge.model import Query
from trunkline_routing.edge.receipts import Receipts
from trunkline_routing.edge.trail import TrailRecorder


def caller_of(
    query: Query, tenant_id: str, principal: Principal | None, receipts: Receipts, trail: TrailRecorder
) -> Caller:
    """Return what the verified credential says, and what was decided before in the same session.

    A previous decision that is not known here is left out of account, and the trail says so.
    """
    previous: tuple[str, ...] = ()
    if query.previous_decision_id:
        try:
            previous = receipts.open(query.previous_decision_id, tenant_id).collections
        except DecisionUnknown:
            trail.degrade(trail_pb.DEGRADATION_REASON_PREVIOUS_DECISION_UNKNOWN)
    if principal is None:
        return Caller(previous=previous) if previous else NOBODY
    return Caller(principal.roles, principal.attributes, previous)
