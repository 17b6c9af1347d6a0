"""From answers to messages."""

from __future__ import annotations

from typing import Final

from trunkline.routing.v1 import generation_pb2 as generation_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_policy.model import Template
from trunkline_routing.edge.model import Answer, Query
from trunkline_routing.edge.sample import Sample
from trunkline_routing.edge.trail import set_seconds
from trunkline_routing.edge.write_everywhere import Written

MAX_REASONS: Final = 16
"""Reasons of a generation's choice."""


def search_response(answer: Answer, query: Query) -> routing_pb.SearchResponse:
    """Return the answer of one search."""
    return routing_pb.SearchResponse(
        hits=[
            routing_pb.SearchHit(
                document=hit.document,
                collection=hit.collection,
                score=hit.score,
                score_kind=hit.score_kind,
                region=hit.region,
            )
            for hit in answer.hits
        ],
        trail=answer.trail,
        generation=generation_of(answer, query),
    )


def route_response(answer: Answer, query: Query) -> routing_pb.RouteResponse:
    """Return the answer of a search that was not made."""
    return routing_pb.RouteResponse(trail=answer.trail, generation=generation_of(answer, query))


def generation_of(answer: Answer, query: Query) -> generation_pb.Generation | None:
    """Return what the policy picks for generating an answer; None where it has nothing to pick from."""
    choice, template = answer.decision.generation, answer.decision.template
    if choice is None:
        return None
    message = generation_pb.Generation(reasons=choice.reasons[:MAX_REASONS] if query.explain else ())
    if choice.template is not None and template is not None:
        message.template.CopyFrom(_template(choice.template, template, choice.template_confidence, query))
    if choice.model_class is not None:
        message.model_class.name = choice.model_class
        message.model_class.max_cost_per_request = choice.max_cost_per_request
        message.model_class.max_context_tokens = choice.max_context_tokens
        message.model_class.complexity = choice.complexity
        message.model_class.confidence = choice.model_class_confidence
    return message


def _template(name: str, template: Template, confidence: float, query: Query) -> generation_pb.PromptTemplate:
    message = generation_pb.PromptTemplate(
        name=name, version=template.version, variables=template.variables, confidence=confidence
    )
    if query.expand_template:
        message.text = template.text
        for example in template.few_shot:
            message.few_shot.add(input=example.input, output=example.output)
    return message


def sample_response(sample: Sample) -> routing_pb.SampleDocumentsResponse:
    """Return documents that were read."""
    return routing_pb.SampleDocumentsResponse(documents=sample.documents, region=sample.region_id)


def region_writes(written: Written) -> list[routing_pb.RegionWrite]:
    """Return how long each region took to have a write."""
    rendered = []
    for region, elapsed_s in written.regions:
        one = routing_pb.RegionWrite(region=region)
        set_seconds(one.elapsed, elapsed_s)
        rendered.append(one)
    return rendered
