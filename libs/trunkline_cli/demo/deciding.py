"""Shows what a decision can rest on besides the words: who asks, what was asked before, and what it is for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from trunkline_cli.decision_view import generation_lines, step_line
from trunkline_cli.demo.chapters import CALLERS, FOLLOW_UP, GENERATION, SAME_WORDS, SESSION
from trunkline_cli.demo.scenario import QUESTIONS
from trunkline_cli.demo.tally import Tally
from trunkline_cli.demo.world import client_for
from trunkline_cli.output import Output
from trunkline_client import RouteResult, TrunklineClient

if TYPE_CHECKING:
    from trunkline_local import LocalStack

_DEADLINE_S: Final = 5.0
_PHRASINGS: Final = ("Please tell me: {}", "{} Thanks.", "A colleague asks: {}", "Quick question - {}")
"""Ways to ask the same, so that neither the decision nor the vector is remembered."""


async def show_deciding(
    out: Output, stack: LocalStack, clients: Mapping[str, TrunklineClient], map_token: bytes, tally: Tally
) -> None:
    """Show callers, a session, and what is picked for generating; then measure decisions."""
    await _same_words(out, stack, map_token, tally)
    await _session(out, clients["aurora"], tally)
    await _generation(out, clients["aurora"], tally)
    await _measure(clients, tally)


async def _same_words(out: Output, stack: LocalStack, map_token: bytes, tally: Tally) -> None:
    out.line(f"The same words from two departments of cedar: {SAME_WORDS}", style="bold")
    for caller in CALLERS:
        async with client_for(stack, "cedar", caller.department, {"department": caller.department}) as client:
            client.read_after(map_token)
            result = await client.search(SAME_WORDS, top_k=1, explain=True, deadline_s=_DEADLINE_S)
        chosen = [item.collection for item in result.trail.collections]
        decision = result.trail.decision
        reason = decision.reasons[0] if decision is not None and decision.reasons else "no reason"
        hit = result.hits[0].text.partition("\n")[2] if result.hits else "nothing"
        out.line(f"   {caller.department:11} -> {', '.join(chosen) or 'nowhere'} ({reason}): {hit}")
        tally.check(chosen == [caller.collection], f"{caller.department} was sent to {chosen}")
    out.line()


async def _session(out: Output, client: TrunklineClient, tally: Tally) -> None:
    question, collection = SESSION
    out.line(f"A session of aurora: {question} Then: {FOLLOW_UP}", style="bold")
    first = await client.route(question, deadline_s=_DEADLINE_S)
    alone = await client.route(FOLLOW_UP, deadline_s=_DEADLINE_S)
    decision_id = "" if first.trail.decision is None else first.trail.decision.decision_id
    after = await client.route(FOLLOW_UP, previous_decision_id=decision_id, deadline_s=_DEADLINE_S)
    out.line(f"   alone      {_where(alone)}")
    out.line(f"   afterwards {_where(after)}")
    tally.check(_chosen(after) == [collection], f"the follow-up went to {_chosen(after)}")
    tally.check(_chosen(alone) != [collection], "the follow-up needed no session")
    out.line()


async def _generation(out: Output, client: TrunklineClient, tally: Tally) -> None:
    out.line("For callers that generate an answer the policy picks a template and a class of models:", style="bold")
    for question, template in GENERATION:
        result = await client.route(question, expand_template=True, deadline_s=_DEADLINE_S)
        out.line(f"   {question}")
        for line in generation_lines(result.generation):
            out.line(f"      {line}")
        picked = result.generation.template.name if result.generation and result.generation.template else ""
        tally.check(picked == template, f"the template for {question!r} was {picked!r}, not {template!r}")
    out.line()


async def _measure(clients: Mapping[str, TrunklineClient], tally: Tally) -> None:
    """Decide every question in other words around it, and note what decided, how long it took and what it cost."""
    asked: Sequence[tuple[str, str]] = list(dict.fromkeys((item.tenant_id, item.text) for item in QUESTIONS))
    for phrasing in _PHRASINGS:
        for tenant_id, text in asked:
            began_s = time.monotonic()
            result = await clients[tenant_id].route(phrasing.format(text), explain=False, deadline_s=_DEADLINE_S)
            decision = result.trail.decision
            if decision is not None and not decision.cached:
                tally.decided_s.setdefault(decision.strategy, []).append(time.monotonic() - began_s)
                tally.cost_units.append(decision.cost_units)


def _chosen(result: RouteResult) -> list[str]:
    return [item.collection for item in result.trail.collections]


def _where(result: RouteResult) -> str:
    steps = "" if result.trail.decision is None else step_line(result.trail.decision)
    return f"{', '.join(_chosen(result)) or 'nowhere'} ({steps})"
