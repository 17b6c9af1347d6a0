"""Makes better policies from feedback, and measures them where they have not learned. Pure.

A proposal is the live policy with the feedback's queries as further examples; a second one adds keywords and weights
that those examples suggest. What was tried is decided by held-back feedback and by the policy's own golden set.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_policy import limits
from trunkline_policy.drafting import draft_keywords
from trunkline_policy.model import CollectionPolicy, Keyword, RoutingPolicy
from trunkline_policy.normal import normalise
from trunkline_routing.learner.deciding import Outcome
from trunkline_routing.learner.trust import Sample, Tally

MAX_EXAMPLE_CHARS: Final = 512
KEYWORDS_PER_TARGET: Final = 4
"""Further keywords that one proposal may bring to a collection: a person should be able to read them."""
MIN_EXAMPLES_FOR_KEYWORDS: Final = 5
"""Examples of a collection below which nothing is concluded of its words."""


def with_examples(policy: RoutingPolicy, samples: Sequence[Sample]) -> RoutingPolicy:
    """Return the policy with the samples as further examples of their collections.

    Those with several right collections, those of collections that the policy does not have, those that are too long,
    examples already or in the golden set are left out, and so is what would exceed the format's limits.
    """
    known = {normalise(text) for target in policy.collections.values() for text in target.examples}
    known |= {normalise(text) for text in policy.out_of_scope}
    known |= {normalise(golden.query) for golden in policy.golden}
    room = limits.MAX_ALL_EXAMPLES - sum(len(target.examples) for target in policy.collections.values())
    fresh: dict[str, list[str]] = defaultdict(list)
    for sample in samples:
        [name, *others] = sample.right
        key = normalise(sample.text)
        if others or name not in policy.collections or key in known or not 0 < len(sample.text) <= MAX_EXAMPLE_CHARS:
            continue
        if room > 0 and len(policy.collections[name].examples) + len(fresh[name]) < limits.MAX_EXAMPLES:
            fresh[name].append(sample.text)
            known.add(key)
            room -= 1
    return _changed(
        policy, {name: {"examples": policy.collections[name].examples + tuple(fresh[name])} for name in fresh}
    )


def with_keywords(policy: RoutingPolicy) -> RoutingPolicy:
    """Return the policy with keywords that its examples suggest; the same policy if there are none."""
    texts = {
        name: target.examples
        for name, target in policy.collections.items()
        if len(target.examples) >= MIN_EXAMPLES_FOR_KEYWORDS
    }
    if len(texts) < 2 or policy.language == "none":
        return policy
    drafted = draft_keywords(texts, per_target=KEYWORDS_PER_TARGET, language=policy.language)
    room = limits.MAX_ALL_KEYWORDS - sum(len(target.keywords) for target in policy.collections.values())
    changes: dict[str, dict[str, tuple[Keyword, ...]]] = {}
    for name, keywords in drafted.items():
        old = policy.collections[name].keywords
        has = {normalise(keyword.text) for keyword in old}
        new = [keyword for keyword in keywords if normalise(keyword.text) not in has]
        new = new[: max(0, min(room, limits.MAX_KEYWORDS - len(old)))]
        if new:
            changes[name] = {"keywords": (*old, *new)}
            room -= len(new)
    return _changed(policy, changes)


def _changed(policy: RoutingPolicy, changes: Mapping[str, Mapping[str, object]]) -> RoutingPolicy:
    if not changes:
        return policy
    collections: dict[str, CollectionPolicy] = dict(policy.collections)
    for name, change in changes.items():
        collections[name] = collections[name].model_copy(update=dict(change))
    return policy.model_copy(update={"collections": collections})


@dataclass(frozen=True, slots=True)
class Measured:
    """How often a policy is right."""

    held_back: Tally
    golden: Tally


def measured(samples: Sequence[Sample], golden: Sequence[Sequence[str]], outcomes: Sequence[Outcome]) -> Measured:
    """Return the measure of outcomes: first those of the samples, then those of the golden queries' right answers."""
    of_samples = [outcome.is_right(sample.right) for sample, outcome in zip(samples, outcomes, strict=False)]
    of_golden = [outcome.is_right(right) for right, outcome in zip(golden, outcomes[len(samples) :], strict=True)]
    return Measured(Tally(len(of_samples), sum(of_samples)), Tally(len(of_golden), sum(of_golden)))


def verdict(policy: RoutingPolicy, live: Measured, proposal: Measured) -> str:
    """Return why the proposal is not good enough, in words; empty if it is."""
    learning = policy.learning
    if proposal.held_back.rate < learning.min_success:
        return f"a proposal is right in {proposal.held_back.rate:.1%}, below {learning.min_success:.1%}"
    # Counts, not rates: 0.9 - 0.8 is less than 0.1 in floating point.
    better = proposal.held_back.success_count - live.held_back.success_count
    if better <= 0 or better + 1e-9 < learning.margin * proposal.held_back.count:
        return f"a proposal is right in {proposal.held_back.rate:.1%}, the policy in {live.held_back.rate:.1%}"
    if proposal.golden.success_count < live.golden.success_count:
        return "a proposal is worse on the golden set"
    return ""
