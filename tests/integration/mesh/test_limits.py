"""Sizes, metadata and load: what is too much is refused, cheaply and with the right status."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from tests.integration.mesh.caller import Answer, eventually
from tests.integration.mesh.conftest import Serve
from tests.integration.mesh.credentials import Issuer
from tests.integration.mesh.probe import SERVICE, SHAPES, Text

LIMIT_BYTES = 64 * 1024


async def test_messages_up_to_the_limit_pass_and_larger_ones_do_not(serve: Serve) -> None:
    """For every shape, and the handler never sees the large one."""
    ours = await serve(max_message_bytes=LIMIT_BYTES)
    for shape in SHAPES:
        fits = await ours.caller.call("x" * (LIMIT_BYTES - 100), shape=shape)
        assert fits.code is grpc.StatusCode.OK
    ours.servicer.began.clear()
    for shape in SHAPES:
        answer = await ours.caller.call("x" * (LIMIT_BYTES + 100), shape=shape)
        assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ours.servicer.began == []


async def test_the_limit_holds_after_decompression(serve: Serve, serve_naive: Serve) -> None:
    """20 MiB of zeros are 20 KiB on the wire; an unlimited server unpacks them all."""
    bomb = Text(value="\0" * (20 << 20)).SerializeToString()
    ours = await serve(max_message_bytes=LIMIT_BYTES)
    naive = await serve_naive(options=(("grpc.max_receive_message_length", -1),))
    codes = []
    for served in (naive, ours):
        served.servicer.behaviour = _length
        method: Any = served.caller.channel.unary_unary(f"/{SERVICE}/Unary")
        metadata = (("authorization", f"Bearer {ours.caller.token}"),)
        call = method(bomb, timeout=20, metadata=metadata, compression=grpc.Compression.Gzip)
        codes.append(await call.code())
    assert codes == [grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED]


async def _length(text: str, _context: Any) -> str:
    return str(len(text))


async def test_too_much_metadata_is_refused_and_the_connection_survives(serve: Serve) -> None:
    """20 kB of it reach no handler; the next call on the same channel works."""
    ours = await serve()
    for shape in SHAPES:
        answer = await ours.caller.call(shape=shape, metadata=(("x-large", "y" * 20_000),))
        assert answer.code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
    assert ours.servicer.began == []
    assert (await ours.caller.call()).code is grpc.StatusCode.OK


async def test_a_full_server_refuses_at_once_where_a_naive_one_takes_everything(
    serve: Serve, serve_naive: Serve
) -> None:
    """One runs, two wait, seven are told OVERLOADED with when to come back; the naive server runs all ten."""
    release = asyncio.Event()

    async def wait(text: str, _context: Any) -> str:
        await release.wait()
        return text

    naive = await serve_naive(wait)
    crowd = [asyncio.create_task(naive.caller.call()) for _ in range(10)]
    await eventually(lambda: len(naive.servicer.began) == 10)
    ours = await serve(wait, max_concurrency=1, max_queue=2, max_queue_per_tenant=2)
    tasks = [asyncio.create_task(ours.caller.call()) for _ in range(10)]
    await eventually(lambda: sum(task.done() for task in tasks) >= 7)
    assert len(ours.servicer.began) == 1
    release.set()
    answers = await asyncio.gather(*tasks)
    refused = [answer for answer in answers if answer.code is not grpc.StatusCode.OK]
    assert len(refused) >= 7
    assert {(answer.code, answer.reason) for answer in refused} == {(grpc.StatusCode.UNAVAILABLE, "OVERLOADED")}
    assert all(answer.retry_delay_s > 0 for answer in refused)
    await asyncio.gather(*crowd)


async def test_a_flood_of_one_tenant_leaves_room_for_another(serve: Serve, issuer: Issuer) -> None:
    """However many calls it sends, the next slot but one is the other tenant's."""

    async def work(text: str, _context: Any) -> str:
        await asyncio.sleep(0.01)
        return text

    ours = await serve(work, max_concurrency=1, max_queue=20, max_queue_per_tenant=10)
    other = issuer.token(tenant="globex")
    await ours.caller.call("warm up")
    await ours.caller.call("warm up", token=other)
    stop = asyncio.Event()
    flood_answers: list[Answer] = []

    async def flood() -> None:
        while not stop.is_set():
            flood_answers.append(await ours.caller.call("flood"))

    async with asyncio.TaskGroup() as group:
        for _ in range(30):
            group.create_task(flood())
        answers = [await ours.caller.call("other", token=other) for _ in range(10)]
        stop.set()
    assert {answer.code for answer in answers} == {grpc.StatusCode.OK}
    assert any(answer.reason == "OVERLOADED" for answer in flood_answers)
