"""Shows what a tenant may use: a free tenant asks too much and is told when to come back, others do not notice, the
account tells what was used, and a suspension holds at once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_cli.demo.tally import Tally, percentile
from trunkline_cli.demo.world import client_for, control_of
from trunkline_cli.output import Output
from trunkline_client import HowToChange, TrunklineClient, TrunklineError
from trunkline_client.usage import UsageClient

if TYPE_CHECKING:
    from trunkline_local import LocalStack

FLOODER: Final = "cedar"
"""Of the free tier: 20 requests a minute, 40 more at once."""
OTHER: Final = "aurora"
_REGION: Final = "us-east"
_FLOOD: Final = 60
_ASKED_BESIDE: Final = 20
_QUESTION: Final = "Which invoice was paid twice?"
_OTHERS_QUESTION: Final = "How to debug memory leaks in Python?"
_DEADLINE_S: Final = 2.0
_WITHIN_S: Final = 10.0
_PAUSE_S: Final = 0.01
_HOW: Final = HowToChange(comment="demonstration")


async def show_promise(out: Output, stack: LocalStack, tally: Tally) -> None:
    """Let a free tenant ask far too much, and show limits, the others, the account, and a suspension."""
    out.line(f"{FLOODER} is of the free tier and asks {_FLOOD} questions as quickly as it can.", style="bold")
    async with client_for(stack, FLOODER, "flood") as flooder, client_for(stack, OTHER, "colleague") as other:
        (outcomes, retry_s), beside_s = await asyncio.gather(_flood(flooder), _beside(other))
        told = ", ".join(f"{count} {name}" for name, count in outcomes.most_common())
        again = f"; try again in {retry_s:.1f} s" if retry_s is not None else ""
        out.line(f"   {FLOODER:10} {told}{again}")
        out.line(f"   {OTHER:10} {len(beside_s)} of {_ASKED_BESIDE} OK meanwhile, p95 {_p95_ms(beside_s):.0f} ms")
        tally.check(outcomes["QUOTA_EXHAUSTED"] > 0, "nobody was told that the free tier has limits")
        tally.check(outcomes["OK"] > 0, "the free tenant got nothing at all")
        tally.check(len(beside_s) == _ASKED_BESIDE, f"{OTHER} noticed {FLOODER}'s flood")
        tally.elapsed_s += beside_s
        tally.refusals["QUOTA_EXHAUSTED"] += outcomes["QUOTA_EXHAUSTED"]
        await _show_account(out, stack, tally)
        await _show_suspension(out, stack, flooder, tally)
    out.line()


async def _flood(client: TrunklineClient) -> tuple[Counter[str], float | None]:
    """Ask without a pause; return what came of it, and the longest time after which to come back."""
    outcomes: Counter[str] = Counter()
    retries_s: list[float] = []
    for number in range(_FLOOD):
        try:
            await client.search(f"{_QUESTION} ({number % 4})", top_k=3, deadline_s=_DEADLINE_S)
            outcomes["OK"] += 1
        except TrunklineError as exc:
            outcomes[exc.reason or exc.status] += 1
            retries_s += [exc.retry_delay_s] if exc.retry_delay_s is not None else []
    return outcomes, max(retries_s, default=None)


async def _beside(client: TrunklineClient) -> list[float]:
    """Ask as somebody who does not flood; return the seconds of what was answered."""
    taken_s = []
    for _ in range(_ASKED_BESIDE):
        began_s = time.monotonic()
        try:
            await client.search(_OTHERS_QUESTION, top_k=3, deadline_s=_DEADLINE_S)
        except TrunklineError:
            continue
        taken_s.append(time.monotonic() - began_s)
    return taken_s


async def _show_account(out: Output, stack: LocalStack, tally: Tally) -> None:
    """Print the tenant's limits and what it has used, as its region's admission service tells them."""
    async with _usage_of(stack) as usage:
        limits = await usage.limits(FLOODER)
        for limit in limits.limits:
            if limit.period == quota_pb.LIMIT_PERIOD_DAY and limit.unit == quota_pb.LIMIT_UNIT_REQUESTS:
                out.line(f"   its day    {limit.used} of {limit.limit} requests used, kept in {limits.home_region}")
        async with asyncio.timeout(_WITHIN_S):
            while not (account := await usage.usage(FLOODER)).lines:  # noqa: ASYNC110  # it is another process's
                await asyncio.sleep(_PAUSE_S)
    stages: Counter[str] = Counter()
    for line in account.lines:
        stages[line.stage] += line.count
    cost = sum(line.cost_micros for line in account.lines) / 1e6
    used = ", ".join(f"{count} {stage}" for stage, count in stages.most_common())
    out.line(f"   its bill   {account.requests} requests: {used}; {cost:.6f} {account.currency}")
    tally.check(account.requests > 0, "the account knows of no request")


async def _show_suspension(out: Output, stack: LocalStack, client: TrunklineClient, tally: Tally) -> None:
    """Suspend the tenant and bring it back; print how long a router went on serving it."""
    async with control_of(stack) as control:
        entry = (await control.tenant(FLOODER)).value
        entry.state = entries_pb.TENANT_STATE_SUSPENDED
        entry = (await control.put_tenant(entry, _HOW)).value
        began_s = time.monotonic()
        refused = await _until_refused(client)
        took_ms = (time.monotonic() - began_s) * 1000
        entry.state = entries_pb.TENANT_STATE_ACTIVE
        await control.put_tenant(entry, _HOW)
    out.line(f"   suspended  {'refused' if refused else 'still served'} {took_ms:.0f} ms later, and active again")
    tally.check(refused and took_ms < 1000, "a suspended tenant was served for longer than a second")


async def _until_refused(client: TrunklineClient) -> bool:
    """Ask (a decision costs no quota) until the tenant is refused; False after some seconds."""
    try:
        async with asyncio.timeout(_WITHIN_S):
            while True:
                try:
                    await client.route(_QUESTION, deadline_s=_DEADLINE_S)
                except TrunklineError as exc:
                    if exc.reason == "TENANT_SUSPENDED":
                        return True
                await asyncio.sleep(_PAUSE_S)
    except TimeoutError:
        return False


def _usage_of(stack: LocalStack) -> UsageClient:
    from trunkline_local import Service

    region = next(item for item in stack.state.regions if item.region_id == _REGION)
    return UsageClient([region.endpoints[Service.ADMISSION]], stack.state.tokens["operator"].read_text)


def _p95_ms(taken_s: list[float]) -> float:
    return percentile(taken_s, 0.95) * 1000
