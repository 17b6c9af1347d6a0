"""What a policy picks for generating an answer, as plain types."""

from __future__ import annotations

from dataclasses import dataclass

from trunkline.routing.v1 import generation_pb2 as generation_pb


@dataclass(frozen=True, slots=True)
class FewShotExample:
    """One worked example of a template."""

    input: str
    output: str


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A prompt template. `text`, with `{{name}}` where a variable goes, and `few_shot` come with expand_template=True.

    `confidence`: how sure the choice is, 0 to 1; 0 for the policy's default.
    """

    name: str
    version: int
    variables: tuple[str, ...]
    text: str
    few_shot: tuple[FewShotExample, ...]
    confidence: float


@dataclass(frozen=True, slots=True)
class ModelClass:
    """A class of generating models: `simple`, `standard` or `complex`, with its limits.

    `max_cost_per_request`: in the tenant's own currency, 0 for no limit. `complexity`: of the query, 0 to 1.
    `confidence`: as a template's.
    """

    name: str
    max_cost_per_request: float
    max_context_tokens: int
    complexity: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Generation:
    """What the policy picks; None stands for what it has nothing of. `reasons` come only with explain=True."""

    template: PromptTemplate | None
    model_class: ModelClass | None
    reasons: tuple[str, ...]


def generation_from_proto(message: generation_pb.Generation) -> Generation:
    """Return the plain form of a message."""
    template = _template(message.template) if message.HasField("template") else None
    model_class = _model_class(message.model_class) if message.HasField("model_class") else None
    return Generation(template, model_class, tuple(message.reasons))


def _template(message: generation_pb.PromptTemplate) -> PromptTemplate:
    return PromptTemplate(
        message.name,
        message.version,
        tuple(message.variables),
        message.text,
        tuple(FewShotExample(item.input, item.output) for item in message.few_shot),
        message.confidence,
    )


def _model_class(message: generation_pb.ModelClass) -> ModelClass:
    return ModelClass(
        message.name,
        message.max_cost_per_request,
        message.max_context_tokens,
        message.complexity,
        message.confidence,
    )
