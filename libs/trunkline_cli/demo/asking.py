"""Asks the questions and shows, for each, where it went and what came back."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence

from trunkline_cli.decision_view import step_line
from trunkline_cli.demo.scenario import Question
from trunkline_cli.demo.tally import Tally
from trunkline_cli.output import Output, one_line
from trunkline_cli.views import stage_line
from trunkline_client import DeadlineExceeded, SearchResult, TrunklineClient, TrunklineError

_SHOWN_HITS = 3
_SHORT_TRIES = 3
_PREPARED_WITHIN_S = 60.0
_PREPARED_PAUSE_S = 0.2
_ROUTE_DEADLINE_S = 5.0


async def prepare_policies(clients: Mapping[str, TrunklineClient]) -> bool:
    """Wait until each tenant's near router has embedded the policy's examples; False if one has not within a minute.

    A router does that when a policy is first used. Until then it answers by rules and the fallback, and says so.
    """
    try:
        async with asyncio.timeout(_PREPARED_WITHIN_S):
            for client in clients.values():
                for number in itertools.count():
                    trail = (await client.route(f"Is this policy ready? {number}", deadline_s=_ROUTE_DEADLINE_S)).trail
                    if all(item.reason != "DECISION_WITHOUT_SEMANTICS" for item in trail.degradations):
                        break
                    await asyncio.sleep(_PREPARED_PAUSE_S)
    except TimeoutError:
        return False
    return True


async def ask_all(
    out: Output, clients: Mapping[str, TrunklineClient], questions: Sequence[Question], tally: Tally
) -> None:
    """Ask in order, show each answer, and check what it must show."""
    seen: set[tuple[str, str]] = set()
    for number, question in enumerate(questions, 1):
        note = f"  ({question.note})" if question.note else ""
        out.line(f"[{number:2}/{len(questions)}] {question.tenant_id} asks: {question.text}{note}", style="bold")
        try:
            result = await _ask(clients[question.tenant_id], question, tally)
        except TrunklineError as exc:
            tally.errors[exc.reason or exc.status] += 1
            tally.check(False, f"question {number} failed: {exc.reason or exc.status}")
            out.line(f"   failed     {exc}", style="red")
            continue
        show_answer(out, result)
        decision = result.trail.decision
        if decision is not None and (question.tenant_id, question.text) not in seen:
            seen.add((question.tenant_id, question.text))
            tally.strategies[decision.strategy] += 1
        _check(number, question, result, tally)
        out.line()


async def _ask(client: TrunklineClient, question: Question, tally: Tally) -> SearchResult:
    deadline_s = question.deadline_s
    for attempt in range(1, _SHORT_TRIES + 1):
        began_s = time.monotonic()
        try:
            result = await client.search(question.text, top_k=5, explain=True, deadline_s=deadline_s)
        except DeadlineExceeded:
            # On a busy machine a very short deadline may be too short for anything; that is an answer, not a defect.
            if attempt == _SHORT_TRIES or question.deadline_s >= 1.0:
                raise
            tally.refusals["DEADLINE_EXCEEDED"] += 1
            deadline_s *= 1.2
        else:
            tally.elapsed_s.append(time.monotonic() - began_s)
            return result
    raise AssertionError("the loop returns or raises")


def show_answer(out: Output, result: SearchResult) -> None:
    """Print one answer: decision, collections with their regions, top answers, times, degradations."""
    trail = result.trail
    if trail.decision is not None:
        out.line(f"   decision   {trail.decision.strategy}: {step_line(trail.decision)}")
    for item in trail.collections:
        served = item.served_region or "not served"
        out.line(f"   collection {item.collection} ({item.confidence:.2f}) served in {served}")
    if not trail.collections:
        out.line("   collection none: the question belongs nowhere here")
    for rank, hit in enumerate(result.hits[:_SHOWN_HITS], 1):
        name = str(hit.fields.get("section") or hit.document_id)
        words = one_line(hit.text.removeprefix(name), 70)
        out.line(f"   {rank}. {name} [{hit.fields.get('source', '')}] {hit.score_kind} {hit.score:.2f}: {words}")
    out.line(f"   stages     {stage_line(trail)} (router {trail.router_region})", style="dim")
    for degradation in trail.degradations:
        out.line(f"   degraded   {degradation}", style="yellow")


def _check(number: int, question: Question, result: SearchResult, tally: Tally) -> None:
    chosen = {item.collection for item in result.trail.collections}
    if question.collections is not None:
        fits = question.collections <= chosen if question.collections else not chosen
        tally.check(fits, f"question {number} went to {sorted(chosen)}, not to {sorted(question.collections)}")
    if question.collections:
        tally.check(bool(result.hits), f"question {number} found nothing")
    degraded = {item.reason for item in result.trail.degradations}
    if question.degradation:
        tally.check(question.degradation in degraded, f"question {number} was not {question.degradation}")
    if question.cached:
        remembered = result.trail.decision is not None and result.trail.decision.cached
        tally.check(remembered, f"question {number} was decided anew")
