"""What judges the chaos of etcd must itself notice every kind of failure: stale, wrong, lost, missed and repeated."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from tests.chaos.etcd_ledger import Ledger, Outcome
from tests.chaos.etcd_proxy import EtcdProxy
from tests.chaos.etcd_recorder import Recorder
from tests.chaos.etcd_verdict import counters, judge
from tests.chaos.load_answer import OK, Answer
from trunkline_map.store import Changes, Event, KeyValue, KeyValueStore, Page, Signal

ANSWER = Answer(
    at_s=1.0,
    late_ms=0.0,
    ms=5.0,
    stream="token-us-east",
    question="docs",
    outcome=OK,
    right=True,
    router="us-east",
    regions=("us-east",),
    tries=(),
    inside=(),
    degraded=(),
    revision=20,
    map_age_s=0.1,
    asked_revision=15,
    detail="",
)


@pytest.fixture
def ledger() -> Ledger:
    """The collection `docs` was first in us-east from 10 on, in eu-west from 30 on."""
    ledger = Ledger()
    ledger.done("docs", 10, "us-east", b"ten")
    ledger.done("docs", 30, "eu-west", b"thirty")
    return ledger


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({}, None),
        ({"revision": 30, "regions": ("eu-west",)}, None),
        ({"revision": 9, "asked_revision": 0, "regions": ("eu-west",)}, None),  # before anything is known
        ({"asked_revision": 21}, "stale"),
        ({"revision": 30}, "stale"),  # says that it rests on 30, and went where the collection was before
        ({"right": False, "detail": "not docs first"}, "stale"),
        ({"right": False, "detail": "the map is older than the token that was sent along"}, None),
        ({"stream": "plain-us-east", "asked_revision": 0, "revision": 35}, "wrong"),
        ({"outcome": "STALE_MAP"}, "refused"),
        ({"outcome": "STALE_MAP", "asked_revision": 0}, "lost"),
        ({"outcome": "DEADLINE_EXCEEDED", "tries": ("us-east STALE_MAP 1800",)}, "refused"),
        ({"outcome": "DEADLINE_EXCEEDED"}, "lost"),
        ({"outcome": "not_sent"}, "lost"),
    ],
)
def test_each_answer_is_judged_by_the_map_on_which_it_rests(
    ledger: Ledger, changed: dict[str, Any], kind: str | None
) -> None:
    """An answer is right, or falls into exactly one kind."""
    found = judge([ANSWER._replace(**changed)], ledger)
    kinds = {"lost": found.lost, "refused": found.refused, "stale": found.stale, "wrong": found.wrong}
    assert {name for name, answers in kinds.items() if answers} == ({kind} if kind else set())


async def test_the_ledger_tells_the_latest_token_and_waits_for_changes(ledger: Ledger) -> None:
    """An older change that is acknowledged late does not take the token back; outcomes are counted apart."""
    ledger.done("other", 20, "us-east", b"twenty")
    ledger.failed(Outcome.REFUSED, "MAP_UNWRITABLE")

    assert (ledger.latest, ledger.map_token) == (30, b"thirty")
    assert ledger.count(Outcome.DONE) == 3
    assert ledger.reasons(0.0, float("inf")) == {"MAP_UNWRITABLE": 1}
    waiting = asyncio.create_task(ledger.wait_done(4, since_s=0.0, within_s=30.0))
    ledger.done("docs", 40, "us-east", b"forty")
    assert await waiting
    assert not await ledger.wait_done(99, since_s=0.0, within_s=0.01)


class _Store:
    """A store that yields given signals to each watch in turn, and lists nothing at a revision."""

    def __init__(self, *watches: Sequence[Signal]) -> None:
        self.watches = list(watches)
        self.list_revision = 0

    async def list_page(self, prefix: bytes, **options: Any) -> Page:
        return Page((KeyValue(prefix, b"", self.list_revision),), self.list_revision, more=False)

    @asynccontextmanager
    async def watch(self, prefix: bytes, *, start_revision: int) -> AsyncIterator[AsyncIterator[Signal]]:
        async def signals() -> AsyncIterator[Signal]:
            for signal in self.watches.pop(0):
                yield signal

        yield signals()


async def _seen(store: _Store, *starts: int) -> Recorder:
    recorder = Recorder(cast(KeyValueStore, store))
    for start in starts:
        async with recorder.watch(b"/", start_revision=start) as watch:
            async for _ in watch:
                pass
    return recorder


def _at(*revisions: int) -> Changes:
    return Changes(tuple(Event(b"/key", b"", revision) for revision in revisions))


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        ([_at(1), _at(2, 3)], [_at(4)], 0),
        ([_at(1), _at(2)], [_at(2)], 1),  # handed on twice
        ([_at(2), _at(1)], [], 1),
        ([_at(1, 3, 2)], [], 1),
        ([_at(1)], [_at(2)], 1),  # before the revision at which the second watch began
    ],
)
async def test_repeated_and_reordered_events_are_counted(first: list[Signal], second: list[Signal], count: int) -> None:
    """Events must come once and in order, over all watches of one history."""
    recorder = await _seen(_Store(first, second), 1, 3 if first == [_at(1)] else 2)
    assert recorder.repeated_or_reordered == count


async def test_a_change_is_covered_by_its_event_or_by_a_listing() -> None:
    """A listing covers what lies between what was seen before it and its revision; nothing else is covered."""
    store = _Store([_at(5)])
    recorder = await _seen(store, 1)
    store.list_revision = 8
    await recorder.list_page(b"/")

    assert [revision for revision in range(1, 10) if recorder.covers(b"/key", revision)] == [5, 6, 7, 8]


def test_counters_are_summed_over_pages_and_labels() -> None:
    """Only the counter of that very name counts; a page may lack it."""
    name = "trunkline_map_relists_total"
    page = f'{name} 2.0\n{name}{{service="x"}} 1.0\n{name}s 9\n'
    assert counters([page, page, ""], ["map_relists", "map_audit_diffs"]) == {"map_relists": 6, "map_audit_diffs": 0}


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(1 << 16):
        writer.write(chunk)
        await writer.drain()
    writer.close()


async def test_the_proxy_passes_on_cuts_and_closes() -> None:
    """Aimed, it passes bytes on; chopping, it ends a connection within the bound; closed, it lets none through."""
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, EtcdProxy(random.Random(1)) as proxy:
        host, _, own = proxy.address.rpartition(":")
        proxy.aim(f"127.0.0.1:{port}")
        reader, writer = await asyncio.open_connection(host, int(own))
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"

        proxy.chop()
        writer.write(b"x" * 50_000)
        answered = await _until_end(reader)
        assert 0 < answered <= 20_000
        assert proxy.cuts == 1

        proxy.close()
        reader, writer = await asyncio.open_connection(host, int(own))
        assert await _until_end(reader) == 0
        proxy.heal()
        reader, writer = await asyncio.open_connection(host, int(own))
        writer.write(b"again")
        assert await reader.readexactly(5) == b"again"
        writer.close()


async def _until_end(reader: asyncio.StreamReader) -> int:
    """Return how many bytes come before the connection ends, in whatever way."""
    count = 0
    try:
        while chunk := await reader.read(1 << 16):
            count += len(chunk)
    except ConnectionError:
        pass
    return count
