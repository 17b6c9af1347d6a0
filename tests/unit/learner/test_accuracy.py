"""Routing accuracy as callers meet it, and the report."""

from __future__ import annotations

import pytest
from tests.unit.learner.world import World, correction, text_of, world

from trunkline_mesh.deadline import Deadline
from trunkline_routing.feedback.records import ShadowRecord
from trunkline_routing.learner.ports import Routed
from trunkline_routing.learner.report import RoutingReport


def routed(*collections: str) -> Routed:
    """Return a decision for the collections."""
    return Routed(decided=bool(collections), collections=collections, template="", model_class="")


async def opened(text: str | None = None) -> World:
    """Return a world in which acme has a policy."""
    there = world("acme")
    await there.control.put_policy("acme", text_of() if text is None else text)
    return there


async def report(there: World) -> RoutingReport:
    """Return acme's report."""
    return await there.learner.reporting.of("acme", Deadline.after(30))


async def test_the_golden_set_is_asked_of_the_router() -> None:
    """What a fallback chose is not right, even if it contains the right collection."""
    there = await opened()
    there.router.answers = {"pay my invoice": routed("billing")}
    told = await report(there)
    golden = next(part for part in told.parts if part.name == "golden")
    assert there.router.asked == ["pay my invoice", "the router is broken"]
    assert (golden.value, golden.sample_count) == (0.5, 2)
    assert told.violated


async def test_a_query_that_belongs_nowhere_is_right_if_nothing_decides() -> None:
    """As the golden set says."""
    there = await opened(text_of().replace("collections: [network]}\n", "collections: []}\n"))
    there.router.answers = {"pay my invoice": routed("billing", "network")}
    golden = next(part for part in (await report(there)).parts if part.name == "golden")
    assert golden.value == 1.0


async def test_feedback_and_agreement_are_its_other_parts() -> None:
    """Both stages name the same collection where keywords and examples say the same."""
    there = await opened()
    there.router.answers = {"pay my invoice": routed("billing"), "the router is broken": routed("network")}
    await there.say(correction("acme", "", "", caller=f"c{n}", success=n < 9) for n in range(10))
    told = await report(there)
    parts = {part.name: part for part in told.parts}
    assert (parts["feedback"].value, parts["feedback"].sample_count) == (0.9, 10)
    assert parts["agreement"].sample_count >= 1
    assert told.accuracy == pytest.approx(0.5 + 0.3 * 0.9 + 0.2 * parts["agreement"].value)


async def test_large_golden_sets_take_turns() -> None:
    """Over as many rounds as it needs, every query is asked."""
    golden = "".join(f"  - {{query: question {n}, collections: [billing]}}\n" for n in range(250))
    there = await opened(text_of().split("golden:")[0] + "golden:\n" + golden)
    for _ in range(3):
        await there.learner.rounds.look_at("acme")
    assert len(there.router.asked) == 300
    assert len(set(there.router.asked)) == 250


async def test_comparisons_are_told_with_their_significance() -> None:
    """Fisher's p-value and Wilson's intervals; a shadow by its agreement."""
    there = await opened()
    for arm, successes in (("control", 30), ("variant", 38)):
        await there.say(
            correction(
                "acme",
                "",
                "",
                caller=f"c{n}-{arm}",
                number=n,
                success=n < successes,
                assignments=(("wide", arm, False),),
            )
            for n in range(40)
        )
    await there.say(ShadowRecord("acme", 999_000.0, "beside", agrees=n < 7) for n in range(10))
    beside, wide = (await report(there)).comparisons
    assert (beside.shadow, beside.shadow_count, beside.shadow_agreed_count) == (True, 10, 7)
    assert beside.p_value == 1.0
    assert [arm.tally.success_count for arm in wide.arms] == [30, 38]
    assert 0.01 < wide.p_value < 0.05
    assert all(arm.low < arm.tally.rate < arm.high for arm in wide.arms)


async def test_old_feedback_is_forgotten() -> None:
    """After the time that the policy names."""
    there = await opened()
    await there.say([correction("acme", "q", "billing", caller="c", at_s=there.control.now_s - 31 * 86_400)])
    await there.say([correction("acme", "p", "billing", caller="c", at_s=there.control.now_s - 29 * 86_400)])
    assert (await report(there)).feedback_count == 1
    await there.learner.rounds.look_at("acme")
    assert len(there.store.records["eu", "acme"]) == 1


async def test_what_the_learner_did_last_is_told() -> None:
    """In words, with its time."""
    there = await opened()
    assert (await report(there)).learned is None
    await there.learner.rounds.look_at("acme")
    told = await report(there)
    assert told.learned is not None
    assert "0 of 10" in told.learned.outcome
    assert told.learned_at_s == there.control.now_s


async def test_feedback_of_tenants_that_are_gone_is_forgotten_in_time() -> None:
    """Not at once: a restored map may have lost a tenant that comes back."""
    there = await opened()
    day_s = 86_400
    for days in (29, 31):
        await there.say([correction("gone", "q", "billing", caller="c", at_s=there.control.now_s - days * day_s)])
        await there.say([correction("acme", "q", "billing", caller="c", at_s=there.control.now_s - days * day_s)])
    await there.learner.rounds.forget()
    assert len(there.store.records["eu", "gone"]) == 1
    assert len(there.store.records["eu", "acme"]) == 2
