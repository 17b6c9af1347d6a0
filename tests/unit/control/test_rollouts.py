"""Rollouts: one at a time, from a proposal to a share, until it becomes the policy or is dropped."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.control.memory_store import MemoryStore
from tests.unit.control.side import OPERATOR, MemoryBlobs, WallClock, furnish, new_collection, soon, use_cases

from trunkline_map.blob import digest_of
from trunkline_map.entries import HeadPointer, PolicyPointer, RolloutEntry, RolloutState
from trunkline_mesh.errors import (
    CollectionUnknown,
    FieldInvalid,
    PolicyUnknown,
    RolloutActive,
    RolloutUnknown,
    TenantSuspended,
    TenantUnknown,
)
from trunkline_routing.control.bindings import ControlUseCases
from trunkline_routing.control.how import How
from trunkline_routing.control.paging import parse_page
from trunkline_routing.control.policies import StoredPolicy
from trunkline_routing.control.rollouts import RolloutWish

LEARNER = How("learner", ("service",), operator=False, method="/m")
WISH = RolloutWish("", RolloutState.PROPOSED, 0.0, "better words", (("samples", 12.0),))


class Place:
    """A control role with the tenant `acme` of `eu`, whose policy is `docs`."""

    def __init__(self) -> None:
        self.blobs, self.clock, self.store = MemoryBlobs(), WallClock(), MemoryStore()
        self.side: ControlUseCases = use_cases(self.store, blobs=self.blobs, now=self.clock)
        self.policies, self.rollouts = self.side.policies.policies, self.side.policies.rollouts

    async def furnish(self) -> None:
        await furnish(self.side, "eu-a")
        await self.side.collections.put(new_collection("docs", "eu-a"), OPERATOR, soon())
        await self.policies.put("acme", "docs", 0, OPERATOR, soon())

    async def begin(self, text: str = "docs #new", wish: RolloutWish = WISH, how: How = LEARNER) -> RolloutEntry:
        rollout, _ = await self.rollouts.begin("acme", wish, text, how, soon())
        return rollout

    async def move(self, rollout: RolloutEntry, state: RolloutState, share: float) -> RolloutEntry:
        wish = RolloutWish(rollout.rollout_id, state, share)
        return (await self.rollouts.move("acme", wish, LEARNER, soon()))[0]

    async def end(self, rollout: RolloutEntry, *, apply: bool, how: How = LEARNER) -> StoredPolicy:
        return await self.rollouts.end("acme", rollout.rollout_id, how, soon(), apply=apply)

    async def put(self, text: str) -> StoredPolicy:
        return await self.policies.put("acme", text, (await self.pointer()).revision, OPERATOR, soon())

    async def note(self, text: str) -> StoredPolicy:
        head = HeadPointer(digest_of(text.encode()), digest_of(b"head"), 4, "minilm", "minilm", "1", "0" * 64)
        await self.blobs.put("eu", b"head")
        return await self.side.policies.heads.put("acme", head, LEARNER, soon())

    async def pointer(self) -> PolicyPointer:
        return (await self.policies.get("acme", soon())).pointer


@pytest.fixture
async def place() -> Place:
    found = Place()
    await found.furnish()
    return found


async def test_a_rollout_begins_beside_the_policy(place: Place) -> None:
    """The live text stays; the rollout's is kept where routers read, and can be read."""
    begun = await place.begin()

    live = await place.policies.get("acme", soon())
    proposal = await place.policies.get_rollout("acme", soon())
    assert (live.yaml, live.version, live.pointer.rollout) == ("docs", 1, begun)
    assert (proposal.yaml, proposal.version, proposal.digest) == ("docs #new", 0, digest_of(b"docs #new"))
    assert (begun.state, begun.base_version, begun.actor) == (RolloutState.PROPOSED, 1, "learner")
    assert (begun.comment, begun.evaluation) == ("better words", (("samples", 12.0),))
    assert begun.form_digest in place.blobs.kept["eu"]


async def test_a_rollout_moves_in_any_direction(place: Place) -> None:
    """The time of its state is that of the last change of state; what was said and measured stays."""
    begun = await place.begin()
    place.clock.now_s += 10
    shadow = await place.move(begun, RolloutState.SHADOW, 1.0)
    place.clock.now_s += 10
    wider = await place.move(begun, RolloutState.SHADOW, 0.5)
    canary = await place.move(begun, RolloutState.CANARY, 0.1)
    back = await place.move(begun, RolloutState.PROPOSED, 0.0)

    assert shadow.change_time_s == wider.change_time_s == begun.change_time_s + 10
    assert (canary.change_time_s, canary.share) == (begun.change_time_s + 20, 0.1)
    assert back.begin_time_s == begun.begin_time_s
    assert (back.comment, back.evaluation) == (begun.comment, begun.evaluation)
    assert (await place.pointer()).rollout == back


async def test_one_rollout_at_a_time(place: Place) -> None:
    """The other's id is told, so that it can be ended; after that another begins."""
    begun = await place.begin()

    with pytest.raises(RolloutActive) as error:
        await place.begin("docs #other")
    await place.end(begun, apply=False)
    again = await place.begin("docs #other")

    assert error.value.metadata == {"rolloutId": begun.rollout_id}
    assert again.rollout_id != begun.rollout_id


async def test_a_rollout_is_checked_as_a_policy(place: Place) -> None:
    """No policy, an unknown collection, the live text itself: nothing is kept."""
    kept = dict(place.blobs.kept["eu"])
    for text, reason in (("!", FieldInvalid), ("other", CollectionUnknown), ("docs", FieldInvalid)):
        with pytest.raises(reason):
            await place.begin(text)
    with pytest.raises(TenantUnknown):
        await place.rollouts.begin("nobody", WISH, "#", LEARNER, soon())
    await place.begin(how=replace(LEARNER, dry_run=True))

    assert place.blobs.kept["eu"] == kept
    assert (await place.pointer()).rollout is None


async def test_a_rollout_needs_a_policy_to_be_beside(place: Place) -> None:
    """And a tenant that is not suspended."""
    tenant, _ = await place.side.tenants.get("acme", soon())
    await place.side.tenants.put(replace(tenant, suspended=True), OPERATOR, soon())
    with pytest.raises(TenantSuspended):
        await place.begin()
    await place.side.tenants.put(replace(tenant, tenant_id="other", revision=0), OPERATOR, soon())

    with pytest.raises(PolicyUnknown):
        await place.rollouts.begin("other", WISH, "#", LEARNER, soon())


async def test_a_rollout_that_is_applied_is_the_next_version(place: Place) -> None:
    """With the heads that were trained for it; its comment stands where the caller makes none."""
    begun = await place.begin()
    noted = await place.note("docs #new")
    assert noted.heads == ()
    assert noted.pointer.rollout is not None
    heads = noted.pointer.rollout.heads

    applied = await place.end(begun, apply=True)

    assert (applied.yaml, applied.version, applied.heads) == ("docs #new", 2, heads)
    assert applied.pointer.rollout is None
    newest = (await place.policies.versions("acme", parse_page(1, ""), soon())).versions[0]
    assert (newest.version, newest.actor, newest.comment) == (2, "learner", "better words")


async def test_a_rollout_that_is_dropped_leaves_the_policy(place: Place) -> None:
    """No new version, and no text in the answer."""
    begun = await place.begin()

    dropped = await place.end(begun, apply=False)

    assert (dropped.yaml, dropped.version, dropped.pointer.rollout) == ("", 1, None)
    assert (await place.policies.get("acme", soon())).yaml == "docs"


async def test_what_has_ended_is_not_known(place: Place) -> None:
    """Nor is another's id, or the text of none."""
    begun = await place.begin()
    with pytest.raises(RolloutUnknown):
        await place.end(replace(begun, rollout_id="0" * 16), apply=True)
    await place.end(begun, apply=False)

    with pytest.raises(RolloutUnknown):
        await place.move(begun, RolloutState.CANARY, 0.1)
    with pytest.raises(RolloutUnknown):
        await place.end(begun, apply=True)
    with pytest.raises(RolloutUnknown):
        await place.policies.get_rollout("acme", soon())


async def test_a_new_text_ends_the_rollout(place: Place) -> None:
    """It was measured against the old one; so does going back to an earlier version."""
    await place.begin()
    await place.put("docs docs")
    assert (await place.pointer()).rollout is None

    await place.begin()
    await place.policies.roll_back("acme", 1, (await place.pointer()).revision, OPERATOR, soon())

    assert (await place.pointer()).rollout is None


async def test_the_same_text_again_leaves_the_rollout(place: Place) -> None:
    """Whoever applies the same file each night must not end what is being measured."""
    begun = await place.begin()

    again = await place.put("docs")

    assert again.version == 2
    assert again.pointer.rollout == replace(begun, base_version=2)


async def test_a_rollouts_text_that_is_put_keeps_its_heads(place: Place) -> None:
    """It was trained for this very text, whoever makes it live."""
    await place.begin()
    await place.note("docs #new")

    put = await place.put("docs #new")

    assert [head.policy_digest for head in put.heads] == [digest_of(b"docs #new")]
    assert put.pointer.rollout is None
