"""A decision as people read it: steps, comparisons, and what is picked for generating."""

from __future__ import annotations

import io

from rich.console import Console

from trunkline_cli.decision_view import decision_data, generation_lines, show_decision, step_line
from trunkline_cli.output import Output
from trunkline_client import Assignment, Decision, DecisionStep, Generation, ModelClass, PromptTemplate

DECISION = Decision(
    "SEMANTIC",
    0.91,
    7,
    cached=False,
    reasons=("accounts: near",),
    decision_id="id-1",
    steps=(
        DecisionStep("LOGICAL", "UNSURE", 0.4, 0.0001, 0.0),
        DecisionStep("SEMANTIC", "DECIDED", 0.91, 0.012, 1.0),
    ),
    assignments=(Assignment("r1", "variant", shadow=True, agrees=False),),
    in_scope=0.8,
    cost_units=1.0,
    head_digest="abc",
)


def _shown(decision: Decision, *, explain: bool) -> str:
    page = io.StringIO()
    show_decision(Output(False, Console(file=page)), decision, explain=explain)
    return page.getvalue()


def test_a_decision_is_told_in_one_line_and_explained_in_more() -> None:
    """Without explain what decided; with it each step, the comparison, the cost and the id."""
    assert _shown(DECISION, explain=False).splitlines() == [
        "decision     SEMANTIC 0.91, policy 7",
        "             accounts: near",
    ]
    explained = _shown(DECISION, explain=True)
    for told in (
        "steps        logical unsure 0.40 in 0.1 ms, semantic decided 0.91 in 12.0 ms",
        "comparison   r1: variant in the shadow, differs",
        "in scope     0.80",
        "cost         1 units, head abc",
        "decision id  id-1",
    ):
        assert told in explained


def test_a_decision_without_steps_says_what_decided() -> None:
    """Collections that the caller named take no steps."""
    assert step_line(Decision("EXPLICIT", 1.0, 0, cached=False, reasons=())) == "explicit"
    assert step_line(Decision("RULES", 1.0, 1, cached=True, reasons=())) == "remembered"


def test_what_is_picked_for_generating_is_told() -> None:
    """A default has no confidence; the text only where it was asked for."""
    template = PromptTemplate("steps", 2, ("question",), "Answer {{question}}", (), 0.0)
    model = ModelClass("simple", 0.5, 4096, 0.1, 0.0)

    lines = list(generation_lines(Generation(template, model, ("by default",))))

    assert lines == [
        "template     steps version 2 (the default): question",
        "             Answer {{question}}",
        "model class  simple, 4,096 tokens of context, at most 0.5 a request (complexity 0.10)",
        "             by default",
    ]
    assert list(generation_lines(None)) == []
    assert list(generation_lines(Generation(None, None, ()))) == []


def test_programs_get_everything_of_a_decision() -> None:
    """As plain data that JSON can hold."""
    data = decision_data(DECISION)

    assert data is not None
    assert (data["decision_id"], data["steps"][1]["stage"], data["reasons"]) == ("id-1", "SEMANTIC", ["accounts: near"])
    assert decision_data(None) is None
