"""Bounds of the learner's contract, and how its answers read."""

from __future__ import annotations

import pytest
from tests.unit.learner.world import text_of, world

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.routing.v1 import learning_service_pb2 as learning_pb
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import FieldInvalid
from trunkline_policy.results import NOBODY
from trunkline_routing.learner.evaluating import Question
from trunkline_routing.learner.messages import parse_questions, render_evaluated, render_report


def query(**fields: object) -> learning_pb.LabelledQuery:
    """Return a labelled query."""
    return learning_pb.LabelledQuery(**({"text": "where is my invoice"} | fields))  # type: ignore[arg-type]  # of the message


@pytest.mark.parametrize(
    ("queries", "field"),
    [
        ([], "queries"),
        ([query()] * 513, "queries"),
        ([query(text="  ")], "queries[0].text"),
        ([query(), query(text="x" * 4097)], "queries[1].text"),
        ([query(collections=["a"] * 17)], "queries[0].collections"),
        ([query(roles=["r"] * 33)], "queries[0].roles"),
        ([query(attributes={"a": "x" * 65})], "queries[0].roles"),
    ],
)
def test_bounds_are_refused_by_name(queries: list[learning_pb.LabelledQuery], field: str) -> None:
    """Every one that the contract states."""
    with pytest.raises(FieldInvalid) as refused:
        parse_questions(learning_pb.EvaluatePolicyRequest(queries=queries))
    assert [violation.field for violation in refused.value.violations] == [field]


def test_who_asks_goes_along() -> None:
    """Rules look at roles and attributes."""
    [question] = parse_questions(
        learning_pb.EvaluatePolicyRequest(queries=[query(roles=["auditor"], attributes={"department": "finance"})])
    )
    assert question.caller.roles == {"auditor"}
    assert question.caller.attributes["department"] == "finance"


async def test_what_falls_back_tells_where_it_goes() -> None:
    """To every collection, for a policy that says so, and with no confidence."""
    there = world("acme")
    text = text_of().replace("fallback: none", "fallback: all").replace("in_scope: 0.0", "in_scope: 0.3")
    await there.control.put_policy("acme", text)
    asked = [Question("quartz", NOBODY), Question("pay my invoice", NOBODY)]
    evaluated = await there.learner.evaluation.evaluate("acme", "", asked, Deadline.after(30))
    response = render_evaluated(evaluated)
    nothing, invoice = (result.live for result in response.results)
    assert not response.results[0].HasField("candidate")
    assert nothing.strategy == trail_pb.STRATEGY_FALLBACK
    assert [(each.name, each.confidence) for each in nothing.chosen] == [("billing", 0.0), ("network", 0.0)]
    assert invoice.chosen[0].name == "billing"
    assert invoice.semantic
    assert response.live_version == 1


async def test_a_report_without_samples_is_not_violated() -> None:
    """What was never measured breaks no promise."""
    there = world("acme")
    await there.control.put_policy("acme", text_of().split("golden:")[0])
    message = render_report(await there.learner.reporting.of("acme", Deadline.after(30)))
    assert not message.violated
    assert message.objective == 0.95
    assert {part.name: part.weight for part in message.parts} == {"golden": 0.5, "feedback": 0.3, "agreement": 0.2}
    assert not message.HasField("last_learn_time")
    assert message.retention.seconds == 30 * 86_400
