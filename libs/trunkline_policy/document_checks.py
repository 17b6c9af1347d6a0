"""What the fields of a policy must keep to together, beyond what each one's type says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import re2
import Stemmer

from trunkline_policy import limits
from trunkline_policy.model import RoutingPolicy, Target, Template, Variant
from trunkline_policy.patterns import PatternSet, re2_options

_VARIABLE: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_MAX_INSTRUCTIONS: Final = limits.ALL_PATTERNS_MEMORY_BYTES * 2 // 3 // 16
"""RE2 gives two thirds of its memory to the program, and an instruction takes 16 bytes: more cannot compile."""
_LANGUAGES: Final = frozenset(Stemmer.algorithms())


class Violation(NamedTuple):
    """What is wrong, and where: the path of the field within the policy, "" for the whole."""

    where: str
    what: str


def violations_of(policy: RoutingPolicy) -> Iterator[Violation]:
    """Yield what is wrong with a policy whose fields are each right. Quotes nothing of it but names."""
    yield from _plain_fields(policy)
    yield from _totals(policy)
    yield from _generation(policy)
    yield from _repeated_names("rules", [one.name for one in policy.rules])
    yield from _repeated_names("experiments", [one.name for one in policy.experiments])
    for number, experiment in enumerate(policy.experiments):
        if not _changes(policy, experiment.variant):
            yield Violation(f"experiments.{number}.variant", "changes nothing")
    for number, golden in enumerate(policy.golden):
        if golden.template is not None and golden.template not in policy.templates:
            yield Violation(f"golden.{number}.template", "is not among the templates")
        if golden.model_class is not None and golden.model_class not in policy.model_classes:
            yield Violation(f"golden.{number}.model_class", "is not among the model classes")


def targets_of(policy: RoutingPolicy) -> Iterator[tuple[str, Target]]:
    """Yield everything that draws queries, with its path: collections, templates, model classes."""
    for family, targets in (
        ("collections", policy.collections),
        ("templates", policy.templates),
        ("model_classes", policy.model_classes),
    ):
        for name, target in targets.items():
            yield f"{family}.{name}", target


def patterns_of(policy: RoutingPolicy) -> Iterator[tuple[str, str]]:
    """Yield every regular expression with its path, those of rules too."""
    for where, target in targets_of(policy):
        for number, pattern in enumerate(target.patterns):
            yield f"{where}.patterns.{number}", pattern.regex
    for index, rule in enumerate(policy.rules):
        for number, regex in enumerate(rule.when.patterns):
            yield f"rules.{index}.when.patterns.{number}", regex


def _plain_fields(policy: RoutingPolicy) -> Iterator[Violation]:
    if policy.language != "none" and policy.language not in _LANGUAGES:
        yield Violation("language", "must be none or one of " + ", ".join(sorted(_LANGUAGES)))
    if policy.fallback == ():
        yield Violation("fallback", "must name a collection; write none for queries that belong nowhere")
    for number, experiment in enumerate(policy.experiments):
        if experiment.variant.fallback == ():
            yield Violation(f"experiments.{number}.variant.fallback", "must name a collection, or be none")
    if policy.learning.min_samples > policy.learning.max_samples:
        yield Violation("learning.min_samples", "must be at most max_samples")


def _totals(policy: RoutingPolicy) -> Iterator[Violation]:
    targets = [target for _, target in targets_of(policy)]
    patterns = list(patterns_of(policy))
    for what, count, most in (
        ("keywords", sum(len(one.keywords) for one in targets), limits.MAX_ALL_KEYWORDS),
        ("examples", sum(len(one.examples) for one in targets), limits.MAX_ALL_EXAMPLES),
        ("patterns", len(patterns), limits.MAX_ALL_PATTERNS),
    ):
        if count > most:
            yield Violation("", f"must have at most {most} {what} over everything")
    if len(patterns) <= limits.MAX_ALL_PATTERNS:
        yield from _patterns(patterns)


def _patterns(patterns: list[tuple[str, str]]) -> Iterator[Violation]:
    """Compile each as the logical stage does, and then all; stop soon where they are too large: it takes seconds."""
    options, size, wrong = re2_options(limits.PATTERN_MEMORY_BYTES), 0, False
    for where, regex in patterns:
        try:
            size += re2.compile(regex, options).programsize
        except re2.error:
            wrong = True
            yield Violation(where, "is no RE2 regular expression, or too large a one")
        if size > _MAX_INSTRUCTIONS:
            break
    if not wrong and (size > _MAX_INSTRUCTIONS or not _compile_together([regex for _, regex in patterns])):
        yield Violation("", "has patterns that are too large together")


def _compile_together(regexes: list[str]) -> bool:
    try:
        PatternSet(regexes)
    except ValueError:
        return False
    return True


def _generation(policy: RoutingPolicy) -> Iterator[Violation]:
    if policy.default_template is not None and policy.default_template not in policy.templates:
        yield Violation("default_template", "is not among the templates")
    if policy.default_model_class is not None and policy.default_model_class not in policy.model_classes:
        yield Violation("default_model_class", "is not among the model classes")
    for name, template in policy.templates.items():
        yield from _variables(f"templates.{name}", template)


def _variables(where: str, template: Template) -> Iterator[Violation]:
    used = set(_VARIABLE.findall(template.text))
    declared = set(template.variables)
    if len(declared) < len(template.variables):
        yield Violation(f"{where}.variables", "names one twice")
    if used - declared:
        yield Violation(f"{where}.text", "uses a variable, or something else between {{ and }}, that is not declared")
    if declared - used:
        yield Violation(f"{where}.variables", "names one that the text does not use as {{name}}")
    if "{{" in _VARIABLE.sub("", template.text):
        yield Violation(f"{where}.text", "has {{ without }}")


def _repeated_names(where: str, names: Iterable[str]) -> Iterator[Violation]:
    seen: set[str] = set()
    for number, name in enumerate(names):
        if name in seen:
            yield Violation(f"{where}.{number}.name", "stands twice")
        seen.add(name)


def _changes(policy: RoutingPolicy, variant: Variant) -> bool:
    """Whether a variant gives anything, and that something else than the policy has."""
    given = variant.model_fields_set
    return any(
        getattr(variant, field) not in (None, getattr(policy, field)) for field in type(variant).model_fields
        if field in given
    )  # fmt: skip
