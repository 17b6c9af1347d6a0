"""A watch over streams that break anywhere: nothing is left out and nothing told twice."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_client import Conflict, Unavailable
from trunkline_client import control_stream as streams
from trunkline_client.control_stream import resuming
from trunkline_client.errors import error_class
from trunkline_client.failure import Failure


def _written(name: str, revision: int, token: bytes) -> changes_pb.MapEvent:
    entry = changes_pb.MapEntry(tenant=entries_pb.Tenant(tenant_id=name, revision=revision))
    return changes_pb.MapEvent(written=entry, map_token=token)


def _caught_up(revision: int) -> changes_pb.MapEvent:
    return changes_pb.MapEvent(caught_up=True, map_token=_token(revision))


def _token(revision: int) -> bytes:
    return b"%04d" % revision


@dataclass
class Server:
    """Tells a map of tenants and its changes as the contract says; each stream breaks after so many events."""

    commits: Sequence[int]
    """How many entries each revision changed, from revision 1 on."""
    breaks: Sequence[int]
    start: int
    """Revision at which the first stream begins to list."""
    opened: int = 0
    asked: list[bytes] = field(default_factory=list)

    def _events(self, after: bytes) -> list[changes_pb.MapEvent]:
        events = []
        begin = int(after) if after else self.start
        if not after:
            events = [_written(f"start-{number}", begin, b"") for number in range(3)]
            events.append(_caught_up(begin))
        for revision in range(begin + 1, len(self.commits) + 1):
            events += [
                _written(f"t{revision}-{number}", revision, _token(revision))
                for number in range(self.commits[revision - 1])
            ]
        events.append(_caught_up(len(self.commits)))
        return events

    async def open(self, after: bytes) -> AsyncGenerator[changes_pb.MapEvent, None]:
        self.asked.append(after)
        number, self.opened = self.opened, self.opened + 1
        cut = self.breaks[number] if number < len(self.breaks) else None
        for event in self._events(after)[:cut]:
            yield event
        if cut is not None:
            raise error_class("", "UNAVAILABLE")(Failure("", "UNAVAILABLE", "broken"))


async def _heard(server: Server, after: bytes = b"") -> list[str]:
    """Names in the order in which they are told, up to the end of the map's history."""
    names: list[str] = []
    async with aclosing(resuming(server.open, after)) as events:
        async for event in events:
            if event.caught_up and event.map_token == _token(len(server.commits)):
                return names
            if not event.caught_up:
                names.append(event.written.tenant.tenant_id)
    raise AssertionError("a watch never ends by itself")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_FIRST_PAUSE_S", 0.0)


@settings(max_examples=80)
@given(
    commits=st.lists(st.integers(1, 3), max_size=8),
    breaks=st.lists(st.integers(0, 12), max_size=6),
    with_token=st.booleans(),
)
async def test_nothing_is_left_out_or_told_twice(commits: list[int], breaks: list[int], with_token: bool) -> None:
    """Wherever streams break: in what was there at the start, between changes, or inside of one transaction."""
    server = Server([1, *commits], breaks, start=1)

    heard = await _heard(server, _token(1) if with_token else b"")

    start = [] if with_token else [f"start-{number}" for number in range(3)]
    changes = [f"t{revision}-{number}" for revision, count in enumerate(commits, 2) for number in range(count)]
    assert heard == start + changes


async def test_a_refusal_that_no_repeat_cures_is_raised() -> None:
    """History that is gone must be told: the caller has to begin anew."""

    async def refused(_after: bytes) -> AsyncGenerator[changes_pb.MapEvent, None]:
        raise error_class("PAGE_EXPIRED", "FAILED_PRECONDITION")(Failure("PAGE_EXPIRED", "FAILED_PRECONDITION", "old"))
        yield changes_pb.MapEvent()

    with pytest.raises(Conflict, match="PAGE_EXPIRED"):
        await anext(resuming(refused, b"0001"))


async def test_patience_has_an_end() -> None:
    """A watch that hears nothing in spite of every try is given up."""
    server = Server([1], [0] * 100, start=1)

    with pytest.raises(Unavailable):
        await anext(resuming(server.open, b"", patience_s=0.0))
    assert server.opened == 1
