"""The rest of a policy: collections that nothing reaches, golden queries, templates, experiments, the fallback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from trunkline_policy import limits
from trunkline_policy.lint_examples import decided_elsewhere
from trunkline_policy.lint_findings import Finding, finding, quoted
from trunkline_policy.logical import LogicalStage
from trunkline_policy.model import Golden, RoutingPolicy, Target
from trunkline_policy.normal import normalise

FEW_GOLDEN: Final = 10


def lint_parts(policy: RoutingPolicy, stage: LogicalStage) -> Iterator[Finding]:
    """Yield what is to say about everything but keywords, patterns, examples and rules."""
    yield from _unreachable(policy)
    yield from _golden(policy, stage)
    yield from _templates(policy)
    for number, experiment in enumerate(policy.experiments):
        if experiment.share == 0:
            yield finding("experiment-off", f"experiments.{number}", f"{quoted(experiment.name)} has a share of 0")
    if policy.fallback == "all" and len(policy.collections) > limits.MAX_CHOSEN:
        yield finding("fallback-many", "fallback", f"all are {len(policy.collections)} collections")


def _unreachable(policy: RoutingPolicy) -> Iterator[Finding]:
    if policy.strategy in {"explicit", "all"} or policy.fallback == "all":
        return
    elsewhere = {name for rule in policy.rules if rule.effect == "choose" for name in rule.collections}
    if isinstance(policy.fallback, tuple):
        elsewhere.update(policy.fallback)
    for name, target in policy.collections.items():
        semantic = policy.strategy != "logical" and (target.description or target.examples)
        if not (semantic or name in elsewhere or (policy.strategy != "semantic" and _has_words(target))):
            yield finding("collection-unreachable", f"collections.{name}", "nothing sends a query there")


def _has_words(target: Target) -> bool:
    return any(one.weight > 0 for one in target.keywords) or any(one.weight > 0 for one in target.patterns)


def _golden(policy: RoutingPolicy, stage: LogicalStage) -> Iterator[Finding]:
    if not policy.golden:
        yield finding("golden-missing", "", "has no golden queries")
    elif len(policy.golden) < FEW_GOLDEN:
        yield finding("golden-few", "golden", f"has {len(policy.golden)} of at least {FEW_GOLDEN} golden queries")
    examples = {normalise(text) for target in policy.collections.values() for text in target.examples}
    examples |= {normalise(text) for text in policy.out_of_scope}
    known: dict[str, Golden] = {}
    reachable = _reachable(policy)
    for number, golden in enumerate(policy.golden):
        where, key = f"golden.{number}", normalise(golden.query)
        if set(known.setdefault(key, golden).collections) != set(golden.collections):
            yield finding("golden-contradictory", where, f"{quoted(golden.query)} has another answer above")
        if key in examples:
            yield finding("golden-in-examples", where, f"{quoted(golden.query)} is an example")
        if golden.collections and not reachable & set(golden.collections):
            yield finding("golden-unreachable", where, f"no query goes to {', '.join(golden.collections)}")
        elif policy.strategy in {"logical", "hybrid"}:
            elsewhere = decided_elsewhere(policy, stage, golden.query, golden.collections)
            if elsewhere:
                yield finding("golden-astray", where, f"{quoted(golden.query)} goes to {elsewhere}")


def _reachable(policy: RoutingPolicy) -> set[str]:
    fallback = policy.fallback if isinstance(policy.fallback, tuple) else ()
    chosen = {name for rule in policy.rules if rule.effect == "choose" for name in rule.collections}
    every = {name for golden in policy.golden for name in golden.collections} if policy.fallback == "all" else set()
    return {*policy.collections, *fallback, *chosen, *every}


def _templates(policy: RoutingPolicy) -> Iterator[Finding]:
    for name, template in policy.templates.items():
        used = _has_words(template) or template.examples or template.description
        if not used and name != policy.default_template:
            yield finding("template-unused", f"templates.{name}", "nothing picks it, and it is not the default")
    if policy.templates and policy.default_template is None:
        yield finding("template-default-missing", "templates", "has no default_template")
