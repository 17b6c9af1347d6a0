"""The demonstration from start to end."""

from __future__ import annotations

import asyncio
import math
import shutil
import signal
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trunkline_cli.demo.asking import ask_all, prepare_policies
from trunkline_cli.demo.corpus import demo_documents
from trunkline_cli.demo.deciding import show_deciding
from trunkline_cli.demo.lesson import show_lesson
from trunkline_cli.demo.mistake import show_mistake
from trunkline_cli.demo.notes import NOTES
from trunkline_cli.demo.outage import lose_a_region
from trunkline_cli.demo.promise import show_promise
from trunkline_cli.demo.scenario import QUESTIONS, TENANTS
from trunkline_cli.demo.tally import Tally, percentile, read_caches
from trunkline_cli.demo.world import client_of, fill, seed
from trunkline_cli.exits import CliError
from trunkline_cli.output import Output, progress

if TYPE_CHECKING:
    from trunkline_local import LocalStack, Progress

_SERVING_WITHIN_S: Final = 120.0
_LEAST_BY_RULES: Final = 0.7
_MOST_BY_RULES: Final = 0.8
"""Share of the questions that rules should decide; the rest is there to show semantics."""
_SERVICES_CACHE: Final = "embedding cache of the inference services (asked only for what routers do not remember)"


async def run_demo(out: Output, count: int) -> Tally:
    """Run the demonstration with about `count` documents in a stack of its own, which is gone afterwards.

    SIGTERM ends it in order, as Ctrl-C does. Raises LocalError, TrunklineError, CliError.
    """
    from trunkline_local import StackSpec, open_stack

    _end_on_sigterm()
    folder = Path(tempfile.mkdtemp(prefix="trunkline-demo-"))
    tally = Tally()
    try:
        with progress("starting") as view:

            def told(step: Progress) -> None:
                view.update(step.ready, step.total, f"{step.name} {step.state}")

            opening = open_stack(StackSpec(run_dir=folder), on_progress=told)
            stack = await opening.__aenter__()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    pids: list[int] = []
    try:
        await _with_stack(out, stack, count, tally)
        pids = [item.pid for item in stack.state.processes if item.pid is not None]
    finally:
        await asyncio.shield(opening.__aexit__(None, None, None))
        shutil.rmtree(folder, ignore_errors=True)
    left = _alive(pids)
    tally.check(not left, f"processes were left: {left}")
    return tally


async def _with_stack(out: Output, stack: LocalStack, count: int, tally: Tally) -> None:
    began_s = time.monotonic()
    out.line(
        f"Three regions run: {', '.join(f'{item.region_id} ({item.jurisdiction})' for item in stack.state.regions)}."
    )
    out.line("They share one etcd and one Triton here: a failure domain that production does not have.")
    token = await seed(stack)
    if not await stack.wait_serving(within_s=_SERVING_WITHIN_S):
        raise CliError("not every service became ready", advice="`trunkline doctor` says what this machine lacks")
    documents = {**await asyncio.to_thread(demo_documents, count), **NOTES}
    async with AsyncExitStack() as opened:
        clients = {tenant.tenant_id: await opened.enter_async_context(client_of(stack, tenant)) for tenant in TENANTS}
        for client in clients.values():
            client.read_after(token)
        written = await fill(clients, documents)
        out.line(
            f"{written} documents, nearly all of them the standard library's documentation, in {len(documents)} "
            f"collections of {len(clients)} tenants, {time.monotonic() - began_s:.0f} s after the start."
        )
        tally.check(written >= count, f"only {written} of {count} documents were there")
        if not await prepare_policies(clients):
            raise CliError("the policies' examples could not be embedded within a minute")
        tally.cache.subtract(await read_caches(stack.state.regions))  # the figures are of questions, not of ingestion
        out.line()
        await ask_all(out, clients, QUESTIONS, tally)
        by_rules = tally.share_by("RULES")
        tally.check(_LEAST_BY_RULES <= by_rules <= _MOST_BY_RULES, f"rules decided {by_rules:.0%} of the questions")
        await show_deciding(out, stack, clients, token, tally)
        await show_lesson(out, stack, token, tally)
        await show_mistake(out, stack, tally)
        await show_promise(out, stack, tally)
        await lose_a_region(out, stack, clients["aurora"], tally)
    tally.cache.update(await read_caches(stack.state.regions))


def _alive(pids: Iterable[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def _end_on_sigterm() -> None:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def show_summary(out: Output, tally: Tally) -> None:
    """Print the figures of the whole demonstration."""
    data = summary(tally)
    out.line()
    out.line("Summary", style="bold")
    out.line(f"   queries    {data['queries']}, p50 {data['p50_ms']:.0f} ms, p95 {data['p95_ms']:.0f} ms")
    out.line(f"   errors     {data['errors']}; refused as they should be: {data['refused'] or 'none'}")
    out.line(
        f"   decisions  {data['logical_hit_rate']:.0%} of the {tally.strategies.total()} questions by rules; p95 by "
        f"rules {data['logical_p95_ms']:.1f} ms, by meaning {data['semantic_p95_ms']:.1f} ms; "
        f"{data['cost_per_1000']:.0f} cost units for 1,000"
    )
    for name, rate in data["hit_rates"].items():
        out.line(f"   hit rate   {name}: {'no look-ups' if rate is None else f'{rate:.0%}'}")
    for what in tally.failed_checks:
        out.line(f"   NOT SHOWN  {what}", style="red")


def summary(tally: Tally) -> Mapping[str, Any]:
    """Return the figures of the whole demonstration; times in milliseconds."""
    return {
        "queries": tally.queries,
        "errors": tally.errors.total(),
        "errors_by_reason": dict(tally.errors),
        "refused": dict(tally.refusals),
        "p50_ms": percentile(tally.elapsed_s, 0.50) * 1000,
        "p95_ms": percentile(tally.elapsed_s, 0.95) * 1000,
        "logical_hit_rate": tally.share_by("RULES"),
        "logical_p95_ms": percentile(tally.decided_s.get("RULES", ()), 0.95) * 1000,
        "semantic_p95_ms": percentile(tally.decided_s.get("SEMANTIC", ()), 0.95) * 1000,
        "cost_per_1000": 1000 * sum(tally.cost_units) / len(tally.cost_units) if tally.cost_units else math.nan,
        "hit_rates": {
            "decision cache": tally.rate("decision_cache", ["hit"]),
            "query vectors at the routers": tally.rate("query_vector_cache", ["hit"]),
            _SERVICES_CACHE: tally.rate("inference_vectors", ["local", "shared"]),
        },
        "not_shown": list(tally.failed_checks),
    }
