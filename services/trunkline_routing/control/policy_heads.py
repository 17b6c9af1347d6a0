"""Use case: a head that was trained for a policy's text is noted, so that routers load it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trunkline_map.entries import HeadPointer, PolicyPointer
from trunkline_map.keys import Kind, MapKey
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import RevisionConflict, invalid_field
from trunkline_routing.control.how import How
from trunkline_routing.control.map_state import MapState, Plan, Prepared
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.policies import StoredPolicy, live, require_owner, require_policy
from trunkline_routing.control.policy_blobs import PolicyBlobs
from trunkline_routing.control.policy_versions import MAX_HEADS


class PolicyHeads:
    """Notes heads. Raises TenantUnknown, MapUnwritable, BackendUnavailable and DeadlineExceeded."""

    def __init__(self, maps: MapStore, blobs: PolicyBlobs) -> None:
        """Write to `maps`; look for the heads in `blobs`."""
        self._maps = maps
        self._blobs = blobs

    async def put(self, tenant_id: str, head: HeadPointer, how: How, deadline: Deadline) -> StoredPolicy:
        """Note a head in place of the one for the same text and space; return the policy as it is now, without text.

        It needs no revision: a change of the policy that leaves the head's text in use is no conflict, and noting a
        head twice changes nothing. Raises PolicyUnknown, RevisionConflict where the text is neither the live policy's
        nor its rollout's, FieldInvalid where the head's blob is missing in one of the policy's jurisdictions, and
        TenantSuspended.
        """
        tenant, key = MapKey(Kind.TENANT, tenant_id), MapKey(Kind.POLICY, tenant_id)
        found: list[PolicyPointer] = []

        async def decide(state: MapState) -> Plan:
            require_owner(state, tenant, how)
            before = require_policy(state, key)
            after = _noted(before, head)
            if not await self._blobs.everywhere(head.digest, before.jurisdictions):
                raise invalid_field("head.digest", "must be a blob in every jurisdiction of the policy")
            found.append(before)
            return Plan(puts=[after] if after != before else [])

        change = await self._maps.change([Prepared(key, [tenant, key], decide)], how, deadline)
        return live(change.entry(key, PolicyPointer) or found[-1], "", change.token)


def _noted(policy: PolicyPointer, head: HeadPointer) -> PolicyPointer:
    """Return the policy with the head where it belongs; raise RevisionConflict where it belongs nowhere."""
    if head.policy_digest == policy.digest:
        return replace(policy, heads=_with(policy.heads, head))
    if policy.rollout is not None and head.policy_digest == policy.rollout.digest:
        return replace(policy, rollout=replace(policy.rollout, heads=_with(policy.rollout.heads, head)))
    raise RevisionConflict("the head's text is neither the policy's nor its rollout's any more")


def _with(heads: Sequence[HeadPointer], head: HeadPointer) -> tuple[HeadPointer, ...]:
    """Return the heads with a new one, which replaces the one of its space; the oldest goes where they are too many."""
    if head in heads:
        return tuple(heads)
    return (*(each for each in heads if each.space_id != head.space_id), head)[-MAX_HEADS:]
