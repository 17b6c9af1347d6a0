"""Shows a bad policy go live, and the one before it brought back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Final

from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline_cli.demo.chapters import MISTAKE_QUESTION, MISTAKE_TENANT, mistaken_policy
from trunkline_cli.demo.tally import Tally
from trunkline_cli.demo.world import client_for, control_of
from trunkline_cli.output import Output
from trunkline_cli.policy.live import upon_version
from trunkline_client import HowToChange, TrunklineClient, Versioned

if TYPE_CHECKING:
    from trunkline_local import LocalStack

_DEADLINE_S: Final = 5.0
_WITHIN_S: Final = 30.0
_PAUSE_S: Final = 0.01


async def show_mistake(out: Output, stack: LocalStack, tally: Tally) -> None:
    """Put a bad policy, see a question go astray, roll back, and time how long a router goes on with the bad one."""
    text, right, wrong = MISTAKE_QUESTION
    out.line(f"Somebody puts a policy of {MISTAKE_TENANT} live in which the collections are swapped.", style="bold")
    async with control_of(stack) as control, client_for(stack, MISTAKE_TENANT, "somebody") as client:
        good = (await control.policy(MISTAKE_TENANT)).value

        def put_bad(entry: policies_pb.Policy) -> Awaitable[Versioned[policies_pb.Policy]]:
            entry.yaml = mistaken_policy()
            return control.put_policy(entry, HowToChange(comment="tidied up"))

        def put_back(entry: policies_pb.Policy) -> Awaitable[Versioned[policies_pb.Policy]]:
            return control.roll_back_policy(
                MISTAKE_TENANT, good.version, entry.revision, HowToChange(comment="that was wrong")
            )

        put = await upon_version(control, MISTAKE_TENANT, good.version, put_bad)
        live_s = await _until(client, text, wrong)
        out.line(f"   version {put.value.version}  {text} -> {wrong}, {_shown(live_s)} after it was put")
        tally.check(live_s is not None, f"the bad policy never decided {text!r}")
        back = await upon_version(control, MISTAKE_TENANT, put.value.version, put_back)
        live_s = await _until(client, text, right)
        out.line(f"   rollback   version {back.value.version}: {text} -> {right}, {_shown(live_s)} after the roll back")
        tally.check(live_s is not None, "the roll back never came to the router")
        tally.check(back.value.digest == good.digest, "the text that was brought back is another one")
    out.line()


async def _until(client: TrunklineClient, text: str, wanted: str) -> float | None:
    """Ask without a map token, as callers do, until the answer changes; return the seconds, None after half a minute.

    The pause is short because the time is shown.
    """
    began_s = time.monotonic()
    try:
        async with asyncio.timeout(_WITHIN_S):
            while (await _chosen(client, text))[:1] != [wanted]:  # noqa: ASYNC110  # it is another process's
                await asyncio.sleep(_PAUSE_S)
    except TimeoutError:
        return None
    return time.monotonic() - began_s


async def _chosen(client: TrunklineClient, text: str) -> Sequence[str]:
    trail = (await client.route(text, deadline_s=_DEADLINE_S)).trail
    return [item.collection for item in trail.collections]


def _shown(elapsed_s: float | None) -> str:
    return "not within half a minute" if elapsed_s is None else f"{elapsed_s * 1000:.0f} ms"
