"""PolicyService: parse, call a use case, render."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc

from trunkline.control.v1 import policy_service_pb2 as control_pb
from trunkline.control.v1 import policy_service_pb2_grpc as control_grpc
from trunkline_mesh.errors import invalid_field
from trunkline_mesh.request import current_request
from trunkline_routing.control.access import readable_tenant, tended_tenant, writable_tenant
from trunkline_routing.control.messages import parse_revision
from trunkline_routing.control.options import how_of
from trunkline_routing.control.paging import parse_page
from trunkline_routing.control.policies import Policies, StoredPolicy
from trunkline_routing.control.policy_heads import PolicyHeads
from trunkline_routing.control.policy_messages import (
    MAX_VERSIONS_PAGE,
    parse_head,
    parse_policy_text,
    parse_rollout,
    parse_rollout_id,
    parse_version,
    render_policy,
    render_rollout,
    render_version,
)
from trunkline_routing.control.rollouts import Rollouts

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class PolicyCases:
    """The use cases of policies."""

    policies: Policies
    heads: PolicyHeads
    rollouts: Rollouts


class PolicyServicer(control_grpc.PolicyServiceServicer):
    """Policies of tenants."""

    def __init__(self, cases: PolicyCases) -> None:
        """Answer with the use cases of policies."""
        self._policies = cases.policies
        self._heads = cases.heads
        self._rollouts = cases.rollouts

    async def GetPolicy(self, request: control_pb.GetPolicyRequest, context: Context) -> control_pb.GetPolicyResponse:
        """Read a tenant's policy, a version of it, or its rollout's text."""
        tenant_id = readable_tenant(request.tenant_id)
        stored = await self._read(tenant_id, request)
        return control_pb.GetPolicyResponse(policy=render_policy(stored), map_token=stored.token)

    async def PutPolicy(self, request: control_pb.PutPolicyRequest, context: Context) -> control_pb.PutPolicyResponse:
        """Check and replace a tenant's policy."""
        tenant_id = writable_tenant(request.policy.tenant_id)
        yaml = parse_policy_text("policy.yaml", request.policy.yaml)
        revision, how = parse_revision(request.policy.revision), how_of(request.options)
        stored = await self._policies.put(tenant_id, yaml, revision, how, current_request().deadline)
        return control_pb.PutPolicyResponse(policy=render_policy(stored), map_token=stored.token)

    async def ListPolicyVersions(
        self, request: control_pb.ListPolicyVersionsRequest, context: Context
    ) -> control_pb.ListPolicyVersionsResponse:
        """Read one page of versions."""
        tenant_id = readable_tenant(request.tenant_id)
        wanted = parse_page(request.page_size, request.page_token, most=MAX_VERSIONS_PAGE)
        page = await self._policies.versions(tenant_id, wanted, current_request().deadline)
        return control_pb.ListPolicyVersionsResponse(
            versions=map(render_version, page.versions), next_page_token=page.next_page_token
        )

    async def RollBackPolicy(
        self, request: control_pb.RollBackPolicyRequest, context: Context
    ) -> control_pb.RollBackPolicyResponse:
        """Make an earlier version's text the policy again."""
        tenant_id = tended_tenant(request.tenant_id)
        version, revision = parse_version(request.version, least=1), parse_revision(request.revision)
        how, deadline = how_of(request.options), current_request().deadline
        stored = await self._policies.roll_back(tenant_id, version, revision, how, deadline)
        return control_pb.RollBackPolicyResponse(policy=render_policy(stored), map_token=stored.token)

    async def PutPolicyHead(
        self, request: control_pb.PutPolicyHeadRequest, context: Context
    ) -> control_pb.PutPolicyHeadResponse:
        """Note a head that was trained for a policy's text."""
        tenant_id = tended_tenant(request.tenant_id)
        stored = await self._heads.put(tenant_id, parse_head(request.head), how_of(), current_request().deadline)
        return control_pb.PutPolicyHeadResponse(policy=render_policy(stored), map_token=stored.token)

    async def PutRollout(
        self, request: control_pb.PutRolloutRequest, context: Context
    ) -> control_pb.PutRolloutResponse:
        """Begin a rollout, or change the one under way."""
        tenant_id = tended_tenant(request.tenant_id)
        wish = parse_rollout(request.rollout)
        how, deadline = how_of(request.options), current_request().deadline
        if not wish.rollout_id:
            yaml = parse_policy_text("yaml", request.yaml)
            rollout, token = await self._rollouts.begin(tenant_id, wish, yaml, how, deadline)
        elif request.yaml:
            raise invalid_field("yaml", "must be empty: a rollout's text stays as it is")
        else:
            rollout, token = await self._rollouts.move(tenant_id, wish, how, deadline)
        return control_pb.PutRolloutResponse(rollout=render_rollout(rollout), map_token=token)

    async def EndRollout(
        self, request: control_pb.EndRolloutRequest, context: Context
    ) -> control_pb.EndRolloutResponse:
        """Make a rollout's text the policy, or drop it."""
        tenant_id, rollout_id = tended_tenant(request.tenant_id), parse_rollout_id("rollout_id", request.rollout_id)
        how, deadline = how_of(request.options), current_request().deadline
        stored = await self._rollouts.end(tenant_id, rollout_id, how, deadline, apply=request.apply)
        return control_pb.EndRolloutResponse(policy=render_policy(stored), map_token=stored.token)

    async def _read(self, tenant_id: str, request: control_pb.GetPolicyRequest) -> StoredPolicy:
        version, deadline = parse_version(request.version, least=0), current_request().deadline
        if version and request.rollout:
            raise invalid_field("version", "must be 0 where the rollout is wanted")
        if version:
            return await self._policies.get_version(tenant_id, version, deadline)
        if request.rollout:
            return await self._policies.get_rollout(tenant_id, deadline)
        return await self._policies.get(tenant_id, deadline)
