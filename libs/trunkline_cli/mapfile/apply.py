"""Applies a plan batch by batch. Stopped at any moment, the map has whole batches, and the next run does the rest."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from trunkline_cli.ingest.run import insistently
from trunkline_cli.mapfile.plan import ImportPlan, to_proto
from trunkline_client import ControlClient, NotFound
from trunkline_client.control import HowToChange

OnApplied = Callable[[int, int], None]
"""Told how many changes of how many are applied."""


def new_import_id() -> str:
    """Return an id that nobody else uses: the time, for people, and 32 random bits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


async def first_batch_number(client: ControlClient, import_id: str) -> int:
    """Return where an import goes on; 1 for one of which nothing was applied yet. Raises TrunklineError."""
    try:
        return (await client.import_state(import_id)).next_batch_number
    except NotFound:
        return 1


async def apply_plan(
    client: ControlClient, plan: ImportPlan, import_id: str, first_number: int, how: HowToChange, told: OnApplied
) -> tuple[int, bytes]:
    """Send the batches one after the other; return the number of the next one, and the last one's token.

    A batch whose answer is lost is sent again, which changes nothing if it was applied. An approval is for the first
    batch, which is the one that was refused without. Raises TrunklineError.
    """
    done, number, map_token = 0, first_number, b""
    told(done, plan.count)
    for batch in plan.batches:
        changes = to_proto(batch)
        map_token = await insistently(partial(client.import_batch, import_id, number, changes, how))
        how = replace(how, approval_id="")
        number += 1
        done += len(batch)
        told(done, plan.count)
    return number, map_token
