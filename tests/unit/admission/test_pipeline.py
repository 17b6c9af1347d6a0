"""Answers in order, several at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from trunkline_admission.pipeline import in_order


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def test_answers_keep_the_order_of_their_requests() -> None:
    """A later request that is done earlier waits its turn."""
    gates = [asyncio.Event() for _ in range(5)]
    done: list[int] = []

    async def answer(number: int) -> int:
        await gates[number].wait()
        done.append(number)
        for gate in gates:
            gate.set()
        return number

    gates[3].set()
    answers = [one async for one in in_order(numbers(5), answer, window=5, lane=str)]

    assert answers == [0, 1, 2, 3, 4]
    assert done[0] == 3


async def test_requests_of_one_lane_are_worked_on_in_turn() -> None:
    """What one caller asks of one thing keeps its order; other lanes go ahead."""
    log: list[str] = []
    gate = asyncio.Event()

    async def answer(name: str) -> str:
        log.append(f"begin {name}")
        if name == "a1":
            await gate.wait()
        log.append(f"end {name}")
        if name == "b1":
            gate.set()
        return name

    async def names() -> AsyncIterator[str]:
        for name in ("a1", "a2", "b1", "a3"):
            yield name

    answers = [one async for one in in_order(names(), answer, window=4, lane=lambda name: name[0])]

    assert answers == ["a1", "a2", "b1", "a3"]
    assert log == ["begin a1", "begin b1", "end b1", "end a1", "begin a2", "end a2", "begin a3", "end a3"]


async def test_at_most_a_window_is_under_way() -> None:
    """Requests are not read ahead without bound."""
    begun, most, open_ = 0, 0, 0

    async def answer(number: int) -> int:
        nonlocal begun, most, open_
        begun, open_ = begun + 1, open_ + 1
        most = max(most, open_)
        await asyncio.sleep(0)
        open_ -= 1
        return number

    async with aclosing(in_order(numbers(100), answer, window=4, lane=str)) as answers:
        assert await anext(answers) == 0
        for _ in range(50):
            await asyncio.sleep(0)

        assert begun <= 5
        assert most <= 4


async def test_the_first_error_ends_it_after_the_answers_before() -> None:
    """What was answered before is delivered; what comes after is cancelled."""
    cancelled: list[int] = []

    async def answer(number: int) -> int:
        if number == 2:
            raise ValueError
        try:
            return number if number < 2 else await asyncio.Future()
        except asyncio.CancelledError:
            cancelled.append(number)
            raise

    got = []
    with pytest.raises(ValueError):  # noqa: PT012 - the answers before the error are part of the behaviour
        async for one in in_order(numbers(5), answer, window=5, lane=str):
            got.append(one)  # noqa: PERF401 - a comprehension would lose what came before the error

    assert got == [0, 1]
    assert cancelled == [3, 4]


async def test_an_error_of_the_requests_comes_after_the_answers() -> None:
    """A stream that breaks is answered up to where it broke."""

    async def breaking() -> AsyncIterator[int]:
        yield 0
        raise ConnectionError

    async def answer(number: int) -> int:
        return number

    got = []
    with pytest.raises(ConnectionError):  # noqa: PT012 - as above
        async for one in in_order(breaking(), answer, window=5, lane=str):
            got.append(one)  # noqa: PERF401 - as above

    assert got == [0]


async def test_nothing_is_left_running_when_it_is_closed() -> None:
    """Closing in the middle cancels the reader and what is under way."""
    before = asyncio.all_tasks()

    async def answer(number: int) -> int:
        return number if number == 0 else await asyncio.Future()

    async with aclosing(in_order(numbers(50), answer, window=5, lane=str)) as answers:
        assert await anext(answers) == 0

    assert asyncio.all_tasks() == before
