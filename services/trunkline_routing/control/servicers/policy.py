"""PolicyService: parse, call a use case, render."""

from __future__ import annotations

from typing import Any

import grpc

from trunkline.control.v1 import policy_service_pb2 as control_pb
from trunkline.control.v1 import policy_service_pb2_grpc as control_grpc
from trunkline_mesh.request import current_request
from trunkline_routing.control.access import readable_tenant, writable_tenant
from trunkline_routing.control.messages import parse_policy_text, parse_revision
from trunkline_routing.control.options import how_of
from trunkline_routing.control.policies import Policies, StoredPolicy

Context = grpc.aio.ServicerContext[Any, Any]


class PolicyServicer(control_grpc.PolicyServiceServicer):
    """Policies of tenants."""

    def __init__(self, policies: Policies) -> None:
        """Answer with the use cases of policies."""
        self._policies = policies

    async def GetPolicy(self, request: control_pb.GetPolicyRequest, context: Context) -> control_pb.GetPolicyResponse:
        """Read a tenant's policy."""
        tenant_id = readable_tenant(request.tenant_id)
        stored = await self._policies.get(tenant_id, current_request().deadline)
        return control_pb.GetPolicyResponse(policy=_render(stored), map_token=stored.token)

    async def PutPolicy(self, request: control_pb.PutPolicyRequest, context: Context) -> control_pb.PutPolicyResponse:
        """Check and replace a tenant's policy."""
        tenant_id = writable_tenant(request.policy.tenant_id)
        yaml, revision = parse_policy_text(request.policy.yaml), parse_revision(request.policy.revision)
        stored = await self._policies.put(tenant_id, yaml, revision, how_of(), current_request().deadline)
        return control_pb.PutPolicyResponse(policy=_render(stored), map_token=stored.token)


def _render(stored: StoredPolicy) -> control_pb.Policy:
    return control_pb.Policy(
        tenant_id=stored.pointer.tenant_id,
        yaml=stored.yaml,
        version=stored.pointer.version,
        digest=stored.pointer.digest,
        revision=stored.pointer.revision,
    )
