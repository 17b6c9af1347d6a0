"""Policies of tenants: versions, heads and rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline_client import control_methods, methods
from trunkline_client.control_session import PLAINLY, ControlSession, HowToChange, Versioned

VERSIONS_PAGE_SIZE: Final = 1_000
"""Versions in one page of a list; the contract's most, and as many as are kept."""


class PoliciesClient(ControlSession):
    """Reads and changes policies. An empty tenant is the credential's own."""

    async def policy(
        self, tenant_id: str = "", *, version: int = 0, rollout: bool = False
    ) -> Versioned[policies_pb.Policy]:
        """Read a tenant's live policy, a version of it (1, 2, 3, ...), or the text of its rollout."""
        request = policies_pb.GetPolicyRequest(tenant_id=tenant_id, version=version, rollout=rollout)
        response = await self._ask(methods.GET_POLICY, request)
        return Versioned(response.policy, response.map_token)

    async def put_policy(self, entry: policies_pb.Policy, how: HowToChange = PLAINLY) -> Versioned[policies_pb.Policy]:
        """Check and replace a tenant's policy. A rollout under way ends, unless the text stays the same."""
        request = policies_pb.PutPolicyRequest(policy=entry, options=how.to_proto())
        response = await self._change(methods.PUT_POLICY, request)
        return Versioned(response.policy, response.map_token)

    async def policy_versions(self, tenant_id: str = "", *, limit: int = 100) -> Sequence[policies_pb.PolicyVersion]:
        """List the newest `limit` versions (at least 1), newest first; the server keeps 1,000."""
        found: list[policies_pb.PolicyVersion] = []
        page_token = ""
        while True:
            size = min(VERSIONS_PAGE_SIZE, limit - len(found))
            request = policies_pb.ListPolicyVersionsRequest(tenant_id=tenant_id, page_size=size, page_token=page_token)
            page = await self._ask(control_methods.LIST_POLICY_VERSIONS, request)
            found += page.versions
            page_token = page.next_page_token
            if not page_token or len(found) >= limit:
                return tuple(found[:limit])

    async def roll_back_policy(
        self, tenant_id: str, version: int, revision: int, how: HowToChange = PLAINLY
    ) -> Versioned[policies_pb.Policy]:
        """Make an earlier version's text the policy again; `revision` is the live policy's."""
        request = policies_pb.RollBackPolicyRequest(
            tenant_id=tenant_id, version=version, revision=revision, options=how.to_proto()
        )
        response = await self._change(control_methods.ROLL_BACK_POLICY, request)
        return Versioned(response.policy, response.map_token)

    async def put_policy_head(self, tenant_id: str, head: policies_pb.PolicyHead) -> Versioned[policies_pb.Policy]:
        """Note a head whose blob lies in the policy's jurisdictions; returns the policy without its text."""
        request = policies_pb.PutPolicyHeadRequest(tenant_id=tenant_id, head=head)
        response = await self._change(control_methods.PUT_POLICY_HEAD, request)
        return Versioned(response.policy, response.map_token)

    async def put_rollout(
        self, tenant_id: str, rollout: policies_pb.Rollout, yaml: str = "", how: HowToChange = PLAINLY
    ) -> Versioned[policies_pb.Rollout]:
        """Begin a rollout of a text, or, with its id and without a text, change its state and share."""
        request = policies_pb.PutRolloutRequest(tenant_id=tenant_id, rollout=rollout, yaml=yaml, options=how.to_proto())
        response = await self._change(control_methods.PUT_ROLLOUT, request)
        return Versioned(response.rollout, response.map_token)

    async def end_rollout(
        self, tenant_id: str, rollout_id: str, *, apply: bool, how: HowToChange = PLAINLY
    ) -> Versioned[policies_pb.Policy]:
        """Make a rollout's text the policy, or drop it; the text is returned only where it was applied."""
        request = policies_pb.EndRolloutRequest(
            tenant_id=tenant_id, rollout_id=rollout_id, apply=apply, options=how.to_proto()
        )
        response = await self._change(control_methods.END_ROLLOUT, request)
        return Versioned(response.policy, response.map_token)
