"""From feedback to a rollout, and what becomes of it: a whole learner over ports in memory."""

from __future__ import annotations

from tests.unit.learner.world import PERSON, World, correction, text_of, world

from trunkline_map.entries import RolloutState
from trunkline_mesh.deadline import Deadline
from trunkline_policy.document import parse_policy
from trunkline_routing.feedback.records import FeedbackRecord, ShadowRecord
from trunkline_routing.learner.learned import Learned
from trunkline_routing.learner.rollout_law import CANARY_SAMPLES, SHADOW_DECISIONS
from trunkline_routing.learner.split import held_back

WORDS = ("dunning", "ledger", "statement", "surcharge", "proforma", "credit note")
"""Words of billing that the policy does not know."""


def feedback(count: int = 40, **fields: object) -> list[FeedbackRecord]:
    """Return corrections of ten callers: queries that belong to billing, in words that the policy does not know."""
    return [
        correction("acme", f"{WORDS[n % 6]} {WORDS[n % 5]} of case {n}", "billing", caller=f"c{n % 10}", **fields)  # type: ignore[arg-type]  # of the record
        for n in range(count)
    ]


async def opened(mode: str = "propose") -> World:
    """Return a world in which acme has a policy."""
    there = world("acme", "bolt")
    await there.control.put_policy("acme", text_of(mode))
    return there


async def look(there: World, tenant_id: str = "acme") -> Learned:
    """Let the learner look once."""
    return await there.learner.learning.look(tenant_id, Deadline.after(30))


async def test_feedback_becomes_a_proposal_that_waits_for_a_person() -> None:
    """With the figures of its evaluation, and nothing live is changed."""
    there = await opened()
    before = there.control.pointer("acme")
    await there.say(feedback())
    learned = await look(there)

    rollout = there.control.pointer("acme").rollout
    assert rollout is not None
    assert learned.rollout_id == rollout.rollout_id
    assert rollout.state is RolloutState.PROPOSED
    assert there.control.pointer("acme").digest == before.digest
    figures = dict(rollout.evaluation)
    assert figures["proposal_success"] > figures["live_success"]
    assert figures["samples"] == learned.sample_count > 0
    assert (await look(there)).rollout_id == rollout.rollout_id
    assert there.control.calls.count("begin") == 1


async def test_what_is_held_back_is_not_learned() -> None:
    """A proposal is measured on queries that it has never seen."""
    there = await opened()
    await there.say(feedback())
    await look(there)
    rollout = there.control.pointer("acme").rollout
    assert rollout is not None
    proposed = parse_policy(there.blobs.blobs["eu", rollout.digest].decode())
    old = parse_policy(text_of())
    added = set(proposed.collections["billing"].examples) - set(old.collections["billing"].examples)
    assert added
    assert not any(held_back(text) for text in added)


async def test_too_little_feedback_proposes_nothing() -> None:
    """And says so."""
    there = await opened()
    await there.say(feedback(9))
    assert "9 of 10" in (await look(there)).outcome
    assert there.control.pointer("acme").rollout is None


async def test_one_caller_cannot_move_a_proposal() -> None:
    """With 10,000 corrections more, what is proposed teaches the network none of them but a handful."""
    clean, poisoned = await opened(), await opened()
    await clean.say(feedback())
    await poisoned.say(feedback())
    await poisoned.say(correction("acme", f"ledger poison {n}", "network", caller="mallory") for n in range(10_000))
    one, other = await look(clean), await look(poisoned)

    rollout, disturbed = clean.control.pointer("acme").rollout, poisoned.control.pointer("acme").rollout
    assert rollout is not None
    honest = parse_policy(clean.blobs.blobs["eu", rollout.digest].decode())
    assert other.sample_count <= one.sample_count * 1.5
    if disturbed is not None:  # with this little feedback a fifth of poison may be enough for no proposal at all
        policy = parse_policy(poisoned.blobs.blobs["eu", disturbed.digest].decode())
        assert set(honest.collections["billing"].examples) <= set(policy.collections["billing"].examples)
        assert len(policy.collections["network"].examples) <= 2 + 10


async def test_one_caller_alone_teaches_nothing() -> None:
    """However much it says."""
    there = await opened()
    await there.say(correction("acme", f"poison {n}", "network", caller="mallory") for n in range(10_000))
    assert "3 of 10" in (await look(there)).outcome


async def test_learning_that_is_off_does_nothing() -> None:
    """Whatever callers say."""
    there = await opened("'off'")
    await there.say(feedback())
    assert (await look(there)).outcome == "learning is off"
    assert there.control.calls == []


async def test_a_tenants_feedback_changes_nobody_elses_policy() -> None:
    """Neither its policy nor what is proposed for it."""
    there = await opened("automatic")
    await there.control.put_policy("bolt", text_of("automatic"))
    before = there.control.pointer("bolt")
    await there.say(feedback())
    assert (await look(there)).rollout_id
    assert not (await look(there, "bolt")).rollout_id
    assert there.control.pointer("bolt") == before


async def shadowed(there: World, agreed: int) -> None:
    """Let routers shadow enough decisions of the rollout under way."""
    rollout = there.control.pointer("acme").rollout
    assert rollout is not None
    await there.say(
        ShadowRecord("acme", 999_500.0, rollout.rollout_id, agrees=n < agreed) for n in range(SHADOW_DECISIONS)
    )


async def in_arms(there: World, right: int, of: int = 2 * CANARY_SAMPLES) -> None:
    """Let callers judge the canary: `right` of its decisions are, and nine tenths of the policy's own."""
    rollout = there.control.pointer("acme").rollout
    assert rollout is not None
    for arm, successes, total in (("variant", right, of), ("control", 9 * of // 10, of)):
        await there.say(
            correction(
                "acme",
                "",
                "",
                caller=f"c{n}",
                number=n,
                success=n < successes,
                assignments=((rollout.rollout_id, arm, False),),
            )
            for n in range(total)
        )


async def test_an_automatic_policy_goes_through_shadow_and_canary() -> None:
    """One state a look, then it is applied."""
    there = await opened("automatic")
    await there.say(feedback())
    first = await look(there)
    assert there.control.pointer("acme").rollout.state is RolloutState.SHADOW  # type: ignore[union-attr]  # it began
    await shadowed(there, SHADOW_DECISIONS)
    await look(there)
    rollout = there.control.pointer("acme").rollout
    assert rollout is not None
    assert (rollout.rollout_id, rollout.state, rollout.share) == (first.rollout_id, RolloutState.CANARY, 0.1)
    await in_arms(there, right=38)
    await look(there)

    assert there.control.pointer("acme").rollout is None
    assert there.control.pointer("acme").digest == rollout.digest
    assert there.control.calls == ["begin", "move canary", "apply"]


async def test_a_canary_that_is_worse_is_dropped_and_not_proposed_again() -> None:
    """The same feedback would say the same again."""
    there = await opened("automatic")
    await there.say(feedback())
    before = there.control.pointer("acme").digest
    await look(there)
    await shadowed(there, SHADOW_DECISIONS)
    await look(there)
    await in_arms(there, right=10)
    await look(there)
    await look(there)

    assert there.control.pointer("acme").digest == before
    assert there.control.pointer("acme").rollout is None
    assert there.control.calls == ["begin", "move canary", "drop"]


async def test_a_shadow_that_differs_too_much_is_dropped() -> None:
    """More than the policy's own faults explain."""
    there = await opened("automatic")
    await there.say([*feedback(), *(correction("acme", "router is down", "network", caller=f"d{n}") for n in range(3))])
    await look(there)
    rollout = there.control.pointer("acme").rollout
    assert rollout is not None
    explained = 1 - dict(rollout.evaluation)["live_success"]
    await shadowed(there, agreed=max(0, int(SHADOW_DECISIONS * (1 - explained - 0.2))))
    await look(there)
    assert there.control.calls[-1] in ("drop", "move canary")
    assert there.control.calls[-1] == "drop" or explained > 0.9


async def test_a_crash_between_two_steps_repeats_harmlessly() -> None:
    """A learner that starts anew goes on from what the map and the feedback say."""
    there = await opened("automatic")
    await there.say(feedback())
    await look(there)
    await shadowed(there, SHADOW_DECISIONS)
    again = there.restarted()
    await look(again)
    await look(again.restarted())
    assert there.control.calls == ["begin", "move canary"]


async def test_two_learners_begin_one_rollout() -> None:
    """The second finds that somebody else has."""
    there = await opened()
    await there.say(feedback())
    other = there.restarted()
    snapshot = there.source.snapshot
    await look(there)
    other.source.publish(snapshot)  # it has not seen the first one's yet
    with_conflict = await look(other)
    assert "begin" in there.control.calls
    assert with_conflict.outcome


async def test_a_persons_rollout_is_never_touched() -> None:
    """Whatever callers say of it."""
    there = await opened("automatic")
    await there.say(feedback())
    there.control.actor = PERSON
    await look(there)
    there.control.calls.clear()
    await shadowed(there, 0)
    assert "person" in (await look(there)).outcome
    assert there.control.calls == []


async def test_an_applied_proposal_that_serves_worse_is_taken_back() -> None:
    """And what led to it is not proposed again."""
    there = await opened("automatic")
    await there.say(feedback())
    await look(there)
    await shadowed(there, SHADOW_DECISIONS)
    await look(there)
    await in_arms(there, right=38)
    await look(there)
    old = there.control.history["acme"][0][1]
    for version, successes in ((1, 60), (2, 20)):
        await there.say(
            correction("acme", "", "", caller=f"w{n}", number=version, version=version, success=n < successes)
            for n in range(60)
        )
    learned = await look(there)

    assert "rolled back to version 1" in learned.outcome
    assert there.control.history["acme"][-1][1] == old
    there.control.now_s += 60
    assert "0 of 10" in (await look(there)).outcome


async def test_a_persons_version_is_never_taken_back() -> None:
    """A person knows why."""
    there = await opened("automatic")
    await there.control.put_policy("acme", text_of("automatic") + "\n")
    for version, successes in ((1, 60), (2, 20)):
        await there.say(
            correction("acme", "", "", caller=f"w{n}", number=version, version=version, success=n < successes)
            for n in range(60)
        )
    await look(there)
    assert not [call for call in there.control.calls if call.startswith("roll back")]
