"""How responses of a watch stream become signals; the stream itself is scripted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import grpc
import pytest
from aetcd import rpc

from trunkline_map.etcd_watch import EtcdWatch, open_watch
from trunkline_map.store import (
    Changes,
    Event,
    Progress,
    Signal,
    Started,
    StoreUnavailableError,
    WatchCanceledError,
)


class ScriptedCall:
    """Plays responses and then ends; remembers what was written."""

    def __init__(self, responses: Sequence[Any] = ()) -> None:
        self._responses = list(responses)
        self.written: list[Any] = []
        self.cancelled = False

    async def read(self) -> Any:
        if self.cancelled:
            raise asyncio.CancelledError  # as grpc.aio does after a local cancel
        return self._responses.pop(0) if self._responses else grpc.aio.EOF

    async def write(self, request: Any) -> None:
        if self.cancelled:
            raise asyncio.InvalidStateError
        self.written.append(request)

    def cancel(self) -> None:
        self.cancelled = True


def response(revision: int, *events: tuple[str, int], **fields: Any) -> Any:
    """A response with puts of {key, revision}."""
    made = [rpc.Event(kv={"key": key.encode(), "value": b"v", "mod_revision": at}) for key, at in events]
    return rpc.WatchResponse(header={"revision": revision}, events=made, **fields)


async def signals(*responses: Any) -> list[Signal]:
    """Everything that the stream yields before it ends."""
    found: list[Signal] = []
    with suppress(StoreUnavailableError):
        async for signal in EtcdWatch(ScriptedCall(responses)):
            found.append(signal)  # noqa: PERF401 - the stream ends with an exception
    return found


async def test_the_answer_to_the_create_request_is_the_start() -> None:
    """Its revision is the store's, not one that was delivered."""
    assert await signals(response(9, created=True)) == [Started(9)]


async def test_events_carry_their_own_revisions() -> None:
    """The header of a response with events may be far ahead of them."""
    delete = rpc.WatchResponse(header={"revision": 99}, events=[rpc.Event(type=1, kv={"key": b"a", "mod_revision": 6})])

    assert await signals(response(99, ("a", 5)), delete) == [
        Changes((Event(b"a", b"v", 5),)),
        Changes((Event(b"a", None, 6),)),
    ]


async def test_fragments_are_put_together() -> None:
    """A revision that was divided over responses is handed on as a whole."""
    parts = [response(9, ("a", 5), fragment=True), response(9, ("b", 5), fragment=True), response(9, ("c", 5))]

    assert await signals(*parts) == [Changes(tuple(Event(key, b"v", 5) for key in (b"a", b"b", b"c")))]


async def test_fragments_of_a_broken_stream_are_dropped() -> None:
    """Half a revision is never handed on."""
    assert await signals(response(9, ("a", 5), fragment=True)) == []


async def test_progress_tells_whether_it_was_requested() -> None:
    """Only the answer to a request has the id of no watch."""
    assert await signals(response(7, watch_id=0), response(8, watch_id=-1)) == [Progress(7, False), Progress(8, True)]


@pytest.mark.parametrize("fields", [{"canceled": True}, {"canceled": True, "created": True}, {"compact_revision": 4}])
async def test_every_way_of_ending_a_watch_is_noticed(fields: dict[str, Any]) -> None:
    """With or without a reason, also in the answer to the create request."""
    with pytest.raises(WatchCanceledError):
        async for _ in EtcdWatch(ScriptedCall([response(9, **fields)])):
            pass


async def test_giving_up_a_stream_is_no_cancellation() -> None:
    """gRPC raises CancelledError for its own cancelled call; our task was not cancelled."""
    watch = EtcdWatch(ScriptedCall([response(9)]))
    watch.abort()

    with pytest.raises(StoreUnavailableError):
        async for _ in watch:
            pass


async def test_a_call_that_grpc_cancelled_is_the_streams_failure() -> None:
    """It does so when a writer of the call is cancelled; the reader must live on to open another stream."""
    call = ScriptedCall([response(9)])
    watch = EtcdWatch(call)
    call.cancelled = True

    with pytest.raises(StoreUnavailableError):
        async for _ in watch:
            pass


async def test_a_cancelled_reader_stays_cancelled() -> None:
    """A real cancellation passes, also when the stream was given up at the same time."""
    watch = EtcdWatch(ScriptedCall([response(9)]))

    async def read() -> None:
        watch.abort()
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        async for _ in watch:
            pass

    with pytest.raises(asyncio.CancelledError):
        await asyncio.ensure_future(read())


async def test_a_request_on_a_dead_stream_is_the_streams_failure() -> None:
    """Asking for a sign of life finds out, too."""
    call = ScriptedCall()
    watch = EtcdWatch(call)
    await watch.request_progress()
    assert call.written[0].HasField("progress_request")
    watch.abort()

    with pytest.raises(StoreUnavailableError):
        await watch.request_progress()


async def test_a_stream_that_cannot_be_opened_is_closed() -> None:
    """Nothing is left behind by a failed start."""
    call = ScriptedCall()
    call.cancelled = True

    with pytest.raises(StoreUnavailableError):
        await open_watch(call, rpc.WatchRequest())
