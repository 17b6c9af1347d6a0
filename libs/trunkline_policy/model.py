"""What a routing policy says, as checked values. `document` reads it from YAML; docs/guide.md describes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from trunkline_policy import limits

Name = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$")]
Example = Annotated[str, Field(min_length=1, max_length=512)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=-10, le=10)]
StrategyName: TypeAlias = Literal["explicit", "logical", "semantic", "hybrid", "all"]


class Part(BaseModel):
    """Base of everything in a policy: immutable, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Keyword(Part):
    """A word or phrase; whole words, case does not matter, endings do not where the policy names a language."""

    text: str = Field(min_length=1, max_length=64)
    weight: Weight = 1.0
    """How much it counts; negative speaks against."""


class Pattern(Part):
    """A regular expression in RE2 syntax; case does not matter."""

    regex: str = Field(min_length=1, max_length=256)
    weight: Weight = 1.5


def _keyword(value: Any) -> Any:
    return {"text": value} if isinstance(value, str) else value


def _pattern(value: Any) -> Any:
    return {"regex": value} if isinstance(value, str) else value


Keywords = tuple[Annotated[Keyword, BeforeValidator(_keyword)], ...]
Patterns = tuple[Annotated[Pattern, BeforeValidator(_pattern)], ...]


class Target(Part):
    """What sends a query to a collection, a template or a model class."""

    description: str = Field("", max_length=1024)
    keywords: Keywords = Field((), max_length=limits.MAX_KEYWORDS)
    patterns: Patterns = Field((), max_length=limits.MAX_PATTERNS)
    examples: tuple[Example, ...] = Field((), max_length=limits.MAX_EXAMPLES)
    """Queries that belong here."""


class CollectionPolicy(Target):
    """What sends a query to one collection."""


class Thresholds(Part):
    """How sure a stage must be. All are confidences, 0 to 1, unless they say otherwise."""

    logical: Share = 0.8
    """From here on rules decide alone."""
    semantic: Share = 0.5
    """Below this semantics decide nothing."""
    in_scope: Share = 0.5
    """Below this probability of belonging anywhere at all, semantics decide nothing."""
    margin: Share = 0.15
    """Collections whose confidence is this near to the best one's are searched too."""
    similarity: float | None = Field(None, ge=0, le=1)
    """Cosine below which the nearest prototype is too far away, whatever the confidence; None for no such bound."""


class Condition(Part):
    """When a rule holds: everything given must hold, and of each list any one."""

    roles: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field((), max_length=32)
    """Roles of the caller's credential."""
    attributes: Mapping[Name, tuple[Annotated[str, Field(min_length=1, max_length=64)], ...]] = Field(
        default_factory=dict, max_length=8
    )
    """Attributes of the caller's credential, such as its department, with the values that fit."""
    previous: tuple[Name, ...] = Field((), max_length=32)
    """Collections of the decision before, where the caller sends its id."""
    keywords: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field((), max_length=32)
    patterns: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = Field((), max_length=8)


class Rule(Part):
    """Sends queries by who asks, by what was decided before and by words."""

    name: Name
    when: Condition
    collections: tuple[Name, ...] = Field(min_length=1, max_length=limits.MAX_CHOSEN)
    effect: Literal["choose", "exclude"] = "choose"
    """Whether the collections are proposed, or left out of what the stages propose."""
    confidence: Share = 0.95


class FewShot(Part):
    """One worked example of a template."""

    input: str = Field(min_length=1, max_length=2_048)
    output: str = Field(min_length=1, max_length=2_048)


class Template(Target):
    """A prompt template for callers that generate."""

    version: int = Field(1, ge=1, le=1_000_000)
    text: str = Field(min_length=1, max_length=limits.MAX_TEMPLATE_CHARS)
    """With `{{name}}` where a variable goes."""
    variables: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")], ...] = Field(
        (), max_length=limits.MAX_VARIABLES
    )
    few_shot: tuple[FewShot, ...] = Field((), max_length=limits.MAX_FEW_SHOT)


class ModelClass(Target):
    """A class of generating models, by what a query asks of them."""

    max_cost_per_request: float = Field(0.0, ge=0)
    """In the caller's own currency; 0 for no limit."""
    max_context_tokens: int = Field(8_192, ge=1, le=100_000_000)
    min_complexity: Share = 0.0
    """Score from which this class is taken; the class with the highest one that is reached wins."""


class Slo(Part):
    """What the tenant wants of its decisions."""

    decision_ms: float | None = Field(None, gt=0, le=10_000)
    """Time that a decision may take at most; None for the stage's share of the deadline."""
    accuracy: Share = 0.95
    """What `policy test --fit` fits the thresholds for."""


class Budget(Part):
    """What decisions may cost."""

    cost_per_1000: float | None = Field(None, ge=0)
    """Cost units for 1,000 decisions, a router's mean; stages that would exceed it are left out. None for no limit."""


class Cache(Part):
    """How long decisions are remembered."""

    ttl_s: float = Field(3_600.0, ge=0, le=86_400)


class Variant(Part):
    """What an experiment changes; what is not given stays."""

    strategy: StrategyName | None = None
    thresholds: Thresholds | None = None
    max_collections: int | None = Field(None, ge=1, le=limits.MAX_CHOSEN)
    fallback: Fallback | None = None


class Experiment(Part):
    """A comparison of the policy with a variant of itself."""

    name: Name
    kind: Literal["ab", "shadow"] = "ab"
    """`ab`: a share of the queries is decided by the variant; `shadow`: both decide, the policy's own is used."""
    share: Share = 0.5
    unit: Literal["query", "caller"] = "query"
    """What stays in one arm."""
    variant: Variant


class OwnRouter(Part):
    """The tenant's own routing service, which an operator has to set up; asked first, the cascade is its fallback."""

    enabled: bool = False
    deadline_share: float = Field(0.5, gt=0, le=1)
    """Part of the decision's time that it may take."""
    min_confidence: Share = 0.5
    cost_units: float = Field(0.0, ge=0)
    """What a call counts against the budget."""


class Classifier(OwnRouter):
    """A language model that names the collection, which an operator has to set up."""

    when: Literal["first", "unsure"] = "first"
    """Whether it is asked before the cascade, or only where the cascade is not sure."""
    cost_units: float = Field(10.0, ge=0)


class Learning(Part):
    """How feedback changes the policy."""

    mode: Literal["off", "propose", "automatic"] = "propose"
    """`propose`: a person starts the rollout; `automatic`: shadow, canary, applied or rolled back by itself."""
    min_samples: int = Field(10, ge=10, le=100_000)
    min_success: Share = 0.85
    """Held-back feedback that a proposal must get right at least."""
    margin: Share = 0.02
    """By how much a proposal must be better."""
    canary_share: float = Field(0.1, gt=0, le=0.5)
    retention_days: int = Field(30, ge=1, le=365)
    max_samples: int = Field(10_000, ge=10, le=100_000)


class Golden(Part):
    """A query whose right answer is known."""

    query: Example
    collections: tuple[Name, ...] = Field(max_length=16)
    """Any of them is right; empty: it belongs nowhere."""
    template: Name | None = None
    model_class: Literal["simple", "standard", "complex"] | None = None


Fallback: TypeAlias = (
    Literal["all", "refuse", "none"] | Annotated[tuple[Name, ...], Field(max_length=limits.MAX_CHOSEN)]
)
"""Collections for queries that nothing decides; `none` finds nothing, `refuse` is a typed refusal."""


class RoutingPolicy(Part):
    """How a tenant's queries find their collections."""

    version: Literal[2]
    """Version of the format; `document` upgrades version 1."""
    strategy: StrategyName = "hybrid"
    language: str = Field("english", pattern=r"^(none|[a-z]{2,20})$")
    """Snowball stemmer for keywords, `none` for words as they are written."""
    space: Name | None = None
    """Routing space; the space of the first collection by name if not given."""
    max_collections: int = Field(2, ge=1, le=limits.MAX_CHOSEN)
    thresholds: Thresholds = Thresholds()
    fallback: Fallback = "all"
    slo: Slo = Slo()
    budget: Budget = Budget()
    cache: Cache = Cache()
    collections: Mapping[Name, CollectionPolicy] = Field(min_length=1, max_length=limits.MAX_COLLECTIONS)
    out_of_scope: tuple[Example, ...] = Field((), max_length=limits.MAX_OUT_OF_SCOPE)
    """Queries that belong nowhere."""
    rules: tuple[Rule, ...] = Field((), max_length=limits.MAX_RULES)
    templates: Mapping[Name, Template] = Field(default_factory=dict, max_length=limits.MAX_TEMPLATES)
    default_template: Name | None = None
    model_classes: Mapping[Literal["simple", "standard", "complex"], ModelClass] = Field(default_factory=dict)
    default_model_class: Literal["simple", "standard", "complex"] | None = None
    experiments: tuple[Experiment, ...] = Field((), max_length=limits.MAX_EXPERIMENTS)
    classifier: Classifier = Classifier()
    own_router: OwnRouter = OwnRouter()
    learning: Learning = Learning()
    golden: tuple[Golden, ...] = Field((), max_length=limits.MAX_GOLDEN)

    def names(self) -> frozenset[str]:
        """Return every collection that the policy names."""
        return frozenset(self._names())

    def _names(self) -> Iterator[str]:
        yield from self.collections
        if isinstance(self.fallback, tuple):
            yield from self.fallback
        for rule in self.rules:
            yield from rule.collections
            yield from rule.when.previous
        for golden in self.golden:
            yield from golden.collections
        for experiment in self.experiments:
            if isinstance(experiment.variant.fallback, tuple):
                yield from experiment.variant.fallback

    def varied(self, variant: Variant) -> RoutingPolicy:
        """Return the policy as an experiment's variant has it."""
        return self.model_copy(update=variant.model_dump(exclude_none=True, round_trip=True) | _parts(variant))


def _parts(variant: Variant) -> dict[str, Any]:
    """Nested values as they are: dumping would make plain mappings of them."""
    return {} if variant.thresholds is None else {"thresholds": variant.thresholds}


Variant.model_rebuild()
