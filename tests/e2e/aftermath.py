"""After everything that was done to the stack: who lives, and what the logs say."""

from __future__ import annotations

import asyncio
import re
from functools import partial

from tests.e2e import world
from tests.e2e.bad_input_cases import MARK
from tests.e2e.place import LONG_S, Place, until
from tests.e2e.residency import QUESTION

from trunkline_local import ProcessState

SECRETS = (
    MARK,
    QUESTION,
    world.GLOBEX_DOCUMENT.text,
    "breakpoint?",
    "recipe for apple pie",
    "xylophone",
    "zeppelin",
    "comma separated values",
    "How do I find out where my program loses memory?",
)
"""Texts of queries, documents and policies that went through the stack."""
TOKEN = re.compile(rb"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}")
"""A credential, whole or in part."""


async def test_every_region_serves_routers_of_the_others_again(place: Place) -> None:
    """Breakers that a lost region opened in other regions' routers close by themselves: the primary serves again."""
    async with place.client(world.ASIA) as asia:
        globe = partial(asia.search, "islands", collections=["world"], deadline_s=LONG_S)
        back = await until(globe, lambda result: result.trail.collections[0].served_region == world.EU)
    assert back.hits[0].document_id == "globe"


async def test_nothing_died_that_was_not_killed(place: Place) -> None:
    """No process ended by itself, whatever was sent to it and taken away from it."""
    assert [each.name for each in place.stack.state.processes if each.state is ProcessState.DEAD] == []


async def test_no_log_holds_a_traceback_or_a_secret(place: Place) -> None:
    """All logs, at level debug, after bad input, kills and losses: no stack trace, text of a tenant or credential."""
    for path in sorted((place.stack.spec.run_dir / "logs").glob("*.log")):
        log = await asyncio.to_thread(path.read_bytes)
        assert log.strip() or path.stem in {"etcd-0"}, path.name
        assert b"Traceback" not in log, path.name
        assert b'"exception"' not in log, path.name
        assert [secret for secret in SECRETS if secret.encode() in log] == [], path.name
        assert TOKEN.search(log) is None, path.name
