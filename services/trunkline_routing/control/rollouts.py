"""Use cases of rollouts: a policy beside the live one, proposed, in the shadow or for a share, until it ends.

A tenant has one at a time. A change of the live text ends it, for it was measured against the text of before.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from trunkline_map.entries import PolicyPointer, RolloutEntry, RolloutState
from trunkline_map.keys import Kind, MapKey
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendUnavailable, RolloutActive, RolloutUnknown, invalid_field
from trunkline_routing.control.how import How
from trunkline_routing.control.map_state import MapState, Plan, Prepared
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.policies import StoredPolicy, live, require_owner, require_policy
from trunkline_routing.control.policy_blobs import PolicyBlobs
from trunkline_routing.control.policy_texts import PolicyTexts, TextPointer
from trunkline_routing.control.policy_versions import new_version

Decided = Callable[[PolicyPointer], Awaitable[PolicyPointer]]
"""What becomes of a policy."""


@dataclass(frozen=True, slots=True)
class RolloutWish:
    """What a caller says of a rollout."""

    rollout_id: str
    """Empty to begin one."""
    state: RolloutState
    share: float
    """0 to 1."""
    comment: str = ""
    """Empty to leave what was said when it began."""
    evaluation: tuple[tuple[str, float], ...] = ()
    """Figures by name; empty to leave those that are there."""


class Rollouts:
    """Rollouts of policies. All methods raise TenantUnknown, TenantSuspended for its own people, PolicyUnknown,
    RevisionConflict where they are overtaken again and again, MapUnwritable, BackendUnavailable and DeadlineExceeded.
    """

    def __init__(self, maps: MapStore, blobs: PolicyBlobs, texts: PolicyTexts) -> None:
        """Work on `maps`; read texts from `blobs`, and write them by way of `texts`."""
        self._maps = maps
        self._blobs = blobs
        self._texts = texts

    async def begin(
        self, tenant_id: str, wish: RolloutWish, yaml: str, how: How, deadline: Deadline
    ) -> tuple[RolloutEntry, bytes]:
        """Begin a rollout of a text; return it with the change's token.

        Raises RolloutActive, what the check of a text raises, and FieldInvalid for the live text itself.
        """
        wanted = self._texts.wanted(tenant_id, yaml)
        rollout_id = secrets.token_hex(8)

        async def decide(policy: PolicyPointer) -> PolicyPointer:
            if policy.rollout is not None:
                raise RolloutActive(metadata={"rolloutId": policy.rollout.rollout_id})
            text = await wanted.pointer(deadline)
            if text.digest == policy.digest:
                raise invalid_field("yaml", "must differ from the live policy")
            await wanted.keep(policy.jurisdictions, how, deadline)
            return replace(policy, rollout=_begun(rollout_id, wish, text, policy, how, self._maps.now()))

        return await self._change(tenant_id, decide, how, deadline)

    async def move(self, tenant_id: str, wish: RolloutWish, how: How, deadline: Deadline) -> tuple[RolloutEntry, bytes]:
        """Give a rollout another state or share; return it with the change's token. Raises RolloutUnknown."""

        async def decide(policy: PolicyPointer) -> PolicyPointer:
            return replace(policy, rollout=_moved(_under_way(policy, wish.rollout_id), wish, self._maps.now()))

        return await self._change(tenant_id, decide, how, deadline)

    async def end(self, tenant_id: str, rollout_id: str, how: How, deadline: Deadline, *, apply: bool) -> StoredPolicy:
        """Make a rollout's text the policy under a new version, or drop it; return the policy as it is now.

        Its text is returned only where it was applied. Raises RolloutUnknown.
        """
        tenant, key = MapKey(Kind.TENANT, tenant_id), MapKey(Kind.POLICY, tenant_id)
        texts: list[str] = []

        async def decide(state: MapState) -> Plan:
            require_owner(state, tenant, how)
            policy = require_policy(state, key)
            rollout = _under_way(policy, rollout_id)
            if not apply:
                return Plan(puts=[replace(policy, rollout=None)])
            yaml = await self._blobs.text(rollout.digest, policy.jurisdictions)
            if yaml is None:
                raise BackendUnavailable("the rollout's text cannot be read")
            texts.append(yaml)
            after = replace(
                policy, digest=rollout.digest, form_digest=rollout.form_digest, size_bytes=rollout.size_bytes
            )
            said = how if how.comment else replace(how, comment=rollout.comment)
            return new_version(policy, after, said, self._maps.now())

        change = await self._maps.change([Prepared(key, [tenant, key], decide)], how, deadline)
        written = change.entry(key, PolicyPointer)
        assert written is not None
        return live(written, texts[-1] if texts else "", change.token)

    async def _change(
        self, tenant_id: str, decided: Decided, how: How, deadline: Deadline
    ) -> tuple[RolloutEntry, bytes]:
        """Write what `decided` makes of the policy, and return its rollout."""
        tenant, key = MapKey(Kind.TENANT, tenant_id), MapKey(Kind.POLICY, tenant_id)

        async def decide(state: MapState) -> Plan:
            require_owner(state, tenant, how)
            return Plan(puts=[await decided(require_policy(state, key))])

        change = await self._maps.change([Prepared(key, [tenant, key], decide)], how, deadline)
        written = change.entry(key, PolicyPointer)
        assert written is not None
        assert written.rollout is not None
        return written.rollout, change.token


def _under_way(policy: PolicyPointer, rollout_id: str) -> RolloutEntry:
    rollout = policy.rollout
    if rollout is None or rollout.rollout_id != rollout_id:
        raise RolloutUnknown
    return rollout


def _begun(
    rollout_id: str, wish: RolloutWish, text: TextPointer, policy: PolicyPointer, how: How, now_s: float
) -> RolloutEntry:
    return RolloutEntry(
        rollout_id=rollout_id,
        state=wish.state,
        share=wish.share,
        digest=text.digest,
        form_digest=text.form_digest,
        size_bytes=text.size_bytes,
        base_version=policy.version,
        actor=how.actor,
        begin_time_s=now_s,
        change_time_s=now_s,
        comment=wish.comment,
        evaluation=wish.evaluation,
    )


def _moved(rollout: RolloutEntry, wish: RolloutWish, now_s: float) -> RolloutEntry:
    return replace(
        rollout,
        state=wish.state,
        share=wish.share,
        change_time_s=rollout.change_time_s if wish.state is rollout.state else now_s,
        comment=wish.comment or rollout.comment,
        evaluation=wish.evaluation or rollout.evaluation,
    )
