"""Decisions as text for people and as plain data for programs: steps, comparisons, what is picked for generating."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from trunkline_cli.output import Output, one_line
from trunkline_client import Decision, Generation

_ID_CHARS = 16
_TEMPLATE_CHARS = 600


def show_decision(out: Output, decision: Decision, *, explain: bool) -> None:
    """Print what decided and how sure it was; with `explain` also each step, the comparisons and the id."""
    cached = ", remembered" if decision.cached else ""
    policy = f", policy {decision.policy_version}" if decision.policy_version else ""
    out.line(f"decision     {decision.strategy} {decision.confidence:.2f}{policy}{cached}")
    for reason in decision.reasons:
        out.line(f"             {reason}", style="dim")
    if not explain:
        return
    if decision.steps:
        out.line(f"steps        {step_line(decision)}")
    for item in decision.assignments:
        agrees = {True: ", agrees", False: ", differs", None: ""}[item.agrees]
        out.line(f"comparison   {item.experiment}: {item.arm}{' in the shadow' if item.shadow else ''}{agrees}")
    if decision.in_scope is not None:
        out.line(f"in scope     {decision.in_scope:.2f}", style="dim")
    if decision.decision_id:
        head = f", head {decision.head_digest[:_ID_CHARS]}" if decision.head_digest else ""
        out.line(f"cost         {decision.cost_units:g} units{head}", style="dim")
        out.line(f"decision id  {decision.decision_id}", style="dim")


def step_line(decision: Decision) -> str:
    """Return the steps of a decision with their outcome, confidence and time."""
    steps = [
        f"{step.stage.lower()} {step.outcome.lower().replace('_', ' ')} {step.confidence:.2f} in "
        f"{step.elapsed_s * 1000:.1f} ms"
        for step in decision.steps
    ]
    return ", ".join([*steps, *(["remembered"] if decision.cached else [])]) or decision.strategy.lower()


def generation_lines(generation: Generation | None) -> Iterator[str]:
    """Yield what the policy picks for generating an answer; nothing where it picks nothing."""
    if generation is None:
        return
    template, model = generation.template, generation.model_class
    if template is not None:
        sure = f"{template.confidence:.2f}" if template.confidence else "the default"
        yield f"template     {template.name} version {template.version} ({sure}): {', '.join(template.variables)}"
        if template.text:
            yield f"             {one_line(template.text, _TEMPLATE_CHARS)}"
    if model is not None:
        cost = f", at most {model.max_cost_per_request:g} a request" if model.max_cost_per_request else ""
        yield (
            f"model class  {model.name}, {model.max_context_tokens:,} tokens of context{cost} "
            f"(complexity {model.complexity:.2f})"
        )
    for reason in generation.reasons:
        yield f"             {reason}"


def decision_data(decision: Decision | None) -> Mapping[str, Any] | None:
    """Return a decision as plain data; times in seconds."""
    return None if decision is None else {**asdict(decision), "reasons": list(decision.reasons)}


def generation_data(generation: Generation | None) -> Mapping[str, Any] | None:
    """Return what is picked for generating as plain data."""
    return None if generation is None else asdict(generation)
