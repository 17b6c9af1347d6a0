"""Policies that feedback suggests, and when they are good enough."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.learner.world import text_of, world

from trunkline_mesh.deadline import Deadline
from trunkline_policy import limits
from trunkline_policy.document import parse_policy, to_yaml
from trunkline_policy.model import Golden, RoutingPolicy, Thresholds
from trunkline_routing.learner.proposing import Measured, verdict, with_examples, with_keywords
from trunkline_routing.learner.scene import scene_of
from trunkline_routing.learner.trust import Sample, Tally
from trunkline_routing.learner.trying import GOLDEN_TO_FIT, Trying

POLICY = parse_policy(text_of())
samples = st.lists(
    st.builds(
        Sample,
        st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=600),
        st.sampled_from([("billing",), ("network",), ("gone",), ("billing", "network")]),
    ),
    max_size=20,
)


@given(samples)
def test_what_is_proposed_can_be_written_and_read(said: list[Sample]) -> None:
    """Whatever callers send, within the format's bounds, and nothing that was there is lost."""
    proposed = with_examples(POLICY, said)
    for name, target in POLICY.collections.items():
        added = proposed.collections[name].examples
        assert added[: len(target.examples)] == target.examples
        assert len(added) <= limits.MAX_EXAMPLES
        assert all(len(text) <= 512 for text in added)
    if all(text.strip() for target in proposed.collections.values() for text in target.examples):
        assert parse_policy(to_yaml(proposed)) == proposed


def test_only_what_is_new_and_clear_is_added() -> None:
    """Not a query that is an example, in the golden set, of two collections, or of one that the policy has not."""
    said = [
        Sample("Pay my  INVOICE", ("billing",)),
        Sample("The router is broken", ("network",)),
        Sample("both of them", ("billing", "network")),
        Sample("of the past", ("gone",)),
        Sample("dunning letter", ("billing",)),
    ]
    proposed = with_examples(POLICY, said)
    assert proposed.collections["billing"].examples[2:] == ("dunning letter",)
    assert proposed.collections["network"] == POLICY.collections["network"]
    assert with_examples(POLICY, said[:4]) == POLICY


def test_keywords_come_from_words_that_tell_collections_apart() -> None:
    """A few, none that is there already, and none for a policy without a language."""
    said = [Sample(f"dunning letter number {n}", ("billing",)) for n in range(8)]
    said += [Sample(f"antenna number {n}", ("network",)) for n in range(8)]
    richer = with_examples(POLICY, said)
    proposed = with_keywords(richer)
    words = {keyword.text for keyword in proposed.collections["network"].keywords}
    assert any("antenna" in word for word in words)
    assert not any(word == "number" for word in words)
    assert proposed.collections["billing"].keywords[:1] == POLICY.collections["billing"].keywords
    assert with_keywords(richer.model_copy(update={"language": "none"})).collections == richer.collections
    assert with_keywords(POLICY) == POLICY


def _measured(right: int, of: int = 20, golden: int = 5) -> Measured:
    return Measured(Tally(of, right), Tally(5, golden))


def test_only_a_better_policy_is_proposed() -> None:
    """By the margin, above the least success, and not worse on the golden set."""
    assert verdict(POLICY, _measured(12), _measured(18)) == ""
    assert "below" in verdict(POLICY, _measured(5), _measured(16))
    assert verdict(POLICY, _measured(18), _measured(18))
    assert verdict(POLICY, _measured(19), _measured(18))
    assert "golden" in verdict(POLICY, _measured(12), _measured(18, golden=4))
    wide = POLICY.model_copy(update={"learning": POLICY.learning.model_copy(update={"margin": 0.1})})
    assert verdict(wide, _measured(17), _measured(18))
    assert verdict(wide, _measured(16), _measured(18)) == ""


async def test_thresholds_are_fitted_to_a_golden_set_that_is_large_enough() -> None:
    """And taken if held-back feedback is better for it."""
    there = world("acme")
    await there.control.put_policy("acme", text_of())
    golden = tuple(Golden(query=f"invoice {n}", collections=("billing",)) for n in range(GOLDEN_TO_FIT))
    held = [Sample(f"pay the payment {n}", ("billing",)) for n in range(10)]
    strict = Thresholds(logical=1.0, semantic=0.999999, in_scope=0.0)
    deaf = POLICY.model_copy(update={"golden": golden, "thresholds": strict})

    async def best(policy: RoutingPolicy) -> RoutingPolicy:
        scene = scene_of(there.source.snapshot, "acme")
        tried = await Trying(there.learner.evaluation).best(scene, policy, [policy], held, Deadline.after(60))
        return tried.policy

    assert (await best(deaf)).thresholds != strict
    assert (await best(deaf.model_copy(update={"golden": golden[:-1]}))).thresholds == strict
