"""Examples that are too few, contradict each other, or are sent elsewhere by the policy's own rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from trunkline_policy.lint_findings import Finding, finding, quoted
from trunkline_policy.lint_texts import families_of
from trunkline_policy.logical import LogicalStage
from trunkline_policy.model import RoutingPolicy, Target
from trunkline_policy.normal import normalise

FEW_EXAMPLES: Final = 5
HEAD_EXAMPLES: Final = 10
"""Examples from which a head can be trained well."""
MAX_DECIDED: Final = 5_000
"""Texts that are decided on trial: about half a second of a large policy."""


def lint_examples(policy: RoutingPolicy, stage: LogicalStage) -> Iterator[Finding]:
    """Yield what is to say about examples and queries out of scope; rules are tried as nobody in particular."""
    if policy.strategy in {"semantic", "hybrid"}:
        for name, target in policy.collections.items():
            yield from _enough(f"collections.{name}", target)
    for family, targets in families_of(policy).items():
        out_of_scope = policy.out_of_scope if family == "collections" else ()
        yield from _contradictory(family, targets, out_of_scope)
    if policy.strategy in {"logical", "hybrid"}:
        yield from _astray(policy, stage)


def _enough(where: str, target: Target) -> Iterator[Finding]:
    if not target.description:
        yield finding("description-missing", f"{where}.description", "has no description")
    count = len(target.examples)
    if count == 0:
        yield finding("examples-missing", where, "has no examples")
    elif count < FEW_EXAMPLES:
        yield finding("examples-few", f"{where}.examples", f"has {count} of at least {FEW_EXAMPLES} examples")
    elif count < HEAD_EXAMPLES:
        yield finding(
            "examples-no-head", f"{where}.examples", f"has {count} of the {HEAD_EXAMPLES} examples that a head wants"
        )


def _contradictory(family: str, targets: Mapping[str, Target], out_of_scope: tuple[str, ...]) -> Iterator[Finding]:
    owners: dict[str, str] = {}
    for name, target in targets.items():
        for number, example in enumerate(target.examples):
            owner = owners.setdefault(key := normalise(example), name)
            where = f"{family}.{name}.examples.{number}"
            if owner != name:
                yield finding("example-contradictory", where, f"{quoted(example)} is an example of {owner} too")
            elif f"{name}\0{key}" in owners:
                yield finding("example-repeated", where, f"{quoted(example)} stands there twice")
            owners[f"{name}\0{key}"] = name
    for number, query in enumerate(out_of_scope):
        owner = owners.get(normalise(query), "")
        if owner:
            yield finding(
                "example-contradictory", f"out_of_scope.{number}", f"{quoted(query)} is an example of {owner}"
            )


def _astray(policy: RoutingPolicy, stage: LogicalStage) -> Iterator[Finding]:
    share = max(1, MAX_DECIDED // len(policy.collections))
    for name, target in policy.collections.items():
        for number, example in enumerate(target.examples[:share]):
            elsewhere = decided_elsewhere(policy, stage, example, (name,))
            if elsewhere:
                yield finding(
                    "example-astray", f"collections.{name}.examples.{number}", f"{quoted(example)} goes to {elsewhere}"
                )
    for number, query in enumerate(policy.out_of_scope):
        elsewhere = decided_elsewhere(policy, stage, query, ())
        if elsewhere:
            yield finding("scope-astray", f"out_of_scope.{number}", f"{quoted(query)} goes to {elsewhere}")


def decided_elsewhere(policy: RoutingPolicy, stage: LogicalStage, text: str, right: tuple[str, ...]) -> str:
    """Return why the logical stage alone sends a text to a wrong collection, "" if it does not."""
    result = stage.decide(text)
    if result.confidence < policy.thresholds.logical or not result.candidates:
        return ""
    best = result.candidates[0]
    near = {one.name for one in result.candidates if one.confidence >= best.confidence - policy.thresholds.margin}
    return "" if near & set(right) else best.reason
