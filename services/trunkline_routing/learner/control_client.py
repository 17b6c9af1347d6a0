"""Adapter: changes of policies over `trunkline.control.v1`, each for the tenant that it concerns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline.control.v1 import policy_service_pb2_grpc as policies_grpc
from trunkline_map.entries import HeadPointer, RolloutEntry, RolloutState
from trunkline_mesh.calls import call
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.deadline import Deadline
from trunkline_routing.edge.targets import Stubs
from trunkline_routing.learner.credentials import ActingCredentials
from trunkline_routing.learner.ports import Proposal, Version

CALL_S: Final = 10.0
VERSIONS: Final = 20
"""Newest versions that are looked at."""
MAX_COMMENT_BYTES: Final = 256

_STATES: Final = {
    RolloutState.PROPOSED: policies_pb.ROLLOUT_STATE_PROPOSED,
    RolloutState.SHADOW: policies_pb.ROLLOUT_STATE_SHADOW,
    RolloutState.CANARY: policies_pb.ROLLOUT_STATE_CANARY,
}


class ControlClient:
    """Implements `ports.Control`."""

    def __init__(self, channels: ChannelPool, endpoints: Sequence[str], credentials: ActingCredentials) -> None:
        """Call the control roles at `endpoints`."""
        self._endpoints = tuple(endpoints)
        self._stubs = Stubs(channels, policies_grpc.PolicyServiceStub)
        self._credentials = credentials

    async def put_head(self, tenant_id: str, head: HeadPointer, deadline: Deadline) -> None:
        """As `ports.Control.put_head`."""
        request = policies_pb.PutPolicyHeadRequest(
            tenant_id=tenant_id,
            head=policies_pb.PolicyHead(
                policy_digest=head.policy_digest,
                digest=head.digest,
                size_bytes=head.size_bytes,
                space_id=head.space_id,
                model_id=head.model_id,
                model_revision=head.model_revision,
                basis_digest=head.basis_digest,
            ),
        )
        await call(self._stub.PutPolicyHead, request, deadline=deadline.within(CALL_S), metadata=self._as(tenant_id))

    async def begin(self, tenant_id: str, proposal: Proposal, deadline: Deadline) -> str:
        """As `ports.Control.begin`."""
        rollout = policies_pb.Rollout(
            state=_STATES[proposal.state],
            share=proposal.share,
            comment=_bounded(proposal.comment),
            evaluation=proposal.evaluation,
        )
        request = policies_pb.PutRolloutRequest(
            tenant_id=tenant_id, rollout=rollout, yaml=proposal.yaml, options=_options(proposal.comment)
        )
        response = await call(
            self._stub.PutRollout, request, deadline=deadline.within(CALL_S), metadata=self._as(tenant_id)
        )
        return response.rollout.rollout_id

    async def move(
        self, tenant_id: str, rollout: RolloutEntry, state: RolloutState, share: float, comment: str, deadline: Deadline
    ) -> None:
        """As `ports.Control.move`."""
        changed = policies_pb.Rollout(
            rollout_id=rollout.rollout_id,
            state=_STATES[state],
            share=share,
            comment=_bounded(comment),
            evaluation=dict(rollout.evaluation),
        )
        request = policies_pb.PutRolloutRequest(tenant_id=tenant_id, rollout=changed, options=_options(comment))
        await call(self._stub.PutRollout, request, deadline=deadline.within(CALL_S), metadata=self._as(tenant_id))

    async def end(self, tenant_id: str, rollout_id: str, *, apply: bool, comment: str, deadline: Deadline) -> None:
        """As `ports.Control.end`."""
        request = policies_pb.EndRolloutRequest(
            tenant_id=tenant_id, rollout_id=rollout_id, apply=apply, options=_options(comment)
        )
        await call(self._stub.EndRollout, request, deadline=deadline.within(CALL_S), metadata=self._as(tenant_id))

    async def versions(self, tenant_id: str, deadline: Deadline) -> Sequence[Version]:
        """As `ports.Control.versions`."""
        request = policies_pb.ListPolicyVersionsRequest(tenant_id=tenant_id, page_size=VERSIONS)
        response = await call(
            self._stub.ListPolicyVersions, request, deadline=deadline.within(CALL_S), metadata=self._as(tenant_id)
        )
        return [
            Version(each.version, each.actor, each.change_time.ToMicroseconds() / 1e6, each.restored_version)
            for each in response.versions
        ]

    async def roll_back(self, tenant_id: str, version: int, revision: int, comment: str, deadline: Deadline) -> None:
        """As `ports.Control.roll_back`."""
        request = policies_pb.RollBackPolicyRequest(
            tenant_id=tenant_id, version=version, revision=revision, options=_options(comment)
        )
        await call(self._stub.RollBackPolicy, request, deadline=deadline.within(CALL_S), metadata=self._as(tenant_id))

    @property
    def _stub(self) -> policies_grpc.PolicyServiceStub:
        return self._stubs.of(self._endpoints)

    def _as(self, tenant_id: str) -> tuple[tuple[str, str], ...]:
        return self._credentials.of(tenant_id)


def _options(comment: str) -> changes_pb.ChangeOptions:
    return changes_pb.ChangeOptions(comment=_bounded(comment))


def _bounded(comment: str) -> str:
    return comment.encode()[:MAX_COMMENT_BYTES].decode(errors="ignore")
