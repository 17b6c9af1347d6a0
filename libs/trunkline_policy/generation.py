"""The prompt template and the model class for a query, by the same words and heads as its collections."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trunkline_policy.cascade import picked
from trunkline_policy.complexity import Complexity, complexity_of
from trunkline_policy.lexicon import Lexicon
from trunkline_policy.logical_evidence import postings_of, weigh
from trunkline_policy.model import ModelClass, RoutingPolicy, Target
from trunkline_policy.normal import MAX_TEXT_CHARS, normalise
from trunkline_policy.results import NOBODY, Caller, Candidate, StageResult

if TYPE_CHECKING:
    from trunkline_policy.head import SemanticResult  # brings numpy, which policies without a head do not need

CLASSES: Final = ("simple", "standard", "complex")
"""Model classes, the least first."""
BOUNDARY_WIDTH: Final = 0.05
"""Distance of the complexity from a boundary at which the choice by it has 0.73: 1 / (1 + exp(-distance / width))."""


@dataclass(frozen=True, slots=True)
class GenerationChoice:
    """What the policy picks for generating an answer."""

    template: str | None = None
    template_version: int = 0
    template_confidence: float = 0.0
    """0 for the default, and without any."""
    model_class: str | None = None
    max_cost_per_request: float = 0.0
    """In the caller's own currency; 0 for no limit."""
    max_context_tokens: int = 0
    """0 without a model class."""
    complexity: float = 0.0
    """0 to 1; 0 without model classes."""
    model_class_confidence: float = 0.0
    """0 for the default, and without any."""
    reasons: tuple[str, ...] = ()
    """In words; they quote the policy, never the query."""


NO_CHOICE: Final = GenerationChoice()


class _Words:
    """Keywords and patterns of one family of targets."""

    def __init__(self, targets: Mapping[str, Target], language: str) -> None:
        phrases = [keyword.text for target in targets.values() for keyword in target.keywords]
        patterns = [pattern.regex for target in targets.values() for pattern in target.patterns]
        self._lexicon = Lexicon(language, phrases, patterns)
        self._postings = postings_of(self._lexicon, targets, language)

    def decide(self, text: str) -> StageResult:
        return StageResult(weigh(self._lexicon.find(text), self._postings))


class GenerationStage:
    """Picks a policy's template and model class. Immutable; safe for several threads."""

    def __init__(self, policy: RoutingPolicy) -> None:
        """Compile what the policy says of both. Raises ValueError for what `parse_policy` would have refused."""
        self._policy = policy
        self._templates = _Words(policy.templates, policy.language)
        self._classes: dict[str, ModelClass] = {
            name: policy.model_classes[name] for name in CLASSES if name in policy.model_classes
        }
        self._class_words = _Words(self._classes, policy.language)

    @property
    def wanted(self) -> bool:
        """Whether the policy has templates or model classes at all."""
        return bool(self._policy.templates or self._classes)

    def decide(self, text: str, semantic: SemanticResult | None, caller: Caller = NOBODY) -> GenerationChoice:
        """Return the choice for a query; `semantic` is what the policy's heads make of it, None if not asked.

        Templates and model classes depend on the words alone: `caller` is there because every stage is asked alike.
        """
        if not self.wanted:
            return NO_CHOICE
        normal = normalise(text[:MAX_TEXT_CHARS])
        template, why = self._template(normal, semantic)
        name, sure, complexity, class_why = self._model_class(normal, semantic)
        limits = self._classes[name] if name is not None else None
        return GenerationChoice(
            template=template.name if template is not None else None,
            template_version=self._policy.templates[template.name].version if template is not None else 0,
            template_confidence=template.confidence if template is not None else 0.0,
            model_class=name,
            max_cost_per_request=limits.max_cost_per_request if limits is not None else 0.0,
            max_context_tokens=limits.max_context_tokens if limits is not None else 0,
            complexity=complexity,
            model_class_confidence=sure,
            reasons=tuple(reason for reason in (why, class_why) if reason),
        )

    def _template(self, text: str, semantic: SemanticResult | None) -> tuple[Candidate | None, str]:
        if not self._policy.templates:
            return None, ""
        heads = semantic.templates if semantic is not None else None
        found = picked(self._policy.thresholds, self._templates.decide(text), heads)
        if found is not None and found.name in self._policy.templates:
            return found, f"template {found.reason or found.name}"
        default = self._policy.default_template
        return (None, "") if default is None else (Candidate(default, 0.0), f"template {default}: the default")

    def _model_class(self, text: str, semantic: SemanticResult | None) -> tuple[str | None, float, float, str]:
        """Return its name, how sure it is, the complexity, and why."""
        if not self._classes:
            return None, 0.0, 0.0, ""
        complexity = complexity_of(text)
        heads = semantic.model_classes if semantic is not None else None
        found = picked(self._policy.thresholds, self._class_words.decide(text), heads)
        if found is not None and found.name in self._classes:
            return found.name, found.confidence, complexity.score, f"model class {found.reason or found.name}"
        return self._by_complexity(complexity)

    def _by_complexity(self, complexity: Complexity) -> tuple[str | None, float, float, str]:
        """The class with the highest bound that is reached; of several with the same one the default, else the least.

        Where no class has a bound, the default is taken, if there is one.
        """
        default, score = self._policy.default_model_class, complexity.score
        bounds = {name: one.min_complexity for name, one in self._classes.items()}
        highest = max((bound for bound in bounds.values() if bound <= score), default=None)
        if highest is None or (default is not None and not any(bounds.values())):
            why = f"model class {default}: the default; {complexity.reason}" if default is not None else ""
            return default, 0.0, score, why
        reached = [name for name, bound in bounds.items() if bound == highest]
        name = default if default is not None and default in reached else reached[0]
        distance = min((abs(score - bound) for bound in bounds.values() if bound > 0), default=1.0)
        return (
            name,
            1.0 / (1.0 + math.exp(-distance / BOUNDARY_WIDTH)),
            score,
            f"model class {name}: {complexity.reason}",
        )
