"""What is known of tenants that call by themselves: asked once, remembered shortly, and never in the way."""

from __future__ import annotations

import asyncio

import pytest

from trunkline_mesh.errors import (
    BackendUnavailable,
    DomainError,
    ResidencyRouterOutside,
    TenantSuspended,
    TenantUnknown,
)
from trunkline_mesh.standing import HOLDS_S, MAX_ASKING, MAX_KNOWN, STANDS_S, StandingBook


class Admission:
    """Answers with what a test says, when it says so; and counts."""

    def __init__(self, says: int | DomainError | None = 1) -> None:
        self.says = says
        self.asked: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.now_s = 0.0

    async def __call__(self, tenant: str) -> int | None:
        self.asked.append(tenant)
        await self.open.wait()
        if isinstance(self.says, DomainError):
            raise self.says
        return self.says

    def clock(self) -> float:
        return self.now_s


def book_of(admission: Admission) -> StandingBook:
    return StandingBook(admission, admission.clock)


async def test_an_answer_holds_for_half_a_second() -> None:
    """Then it is asked for again."""
    admission = Admission(2)
    book = book_of(admission)
    assert [await book.rank_of("acme") for _ in range(3)] == [2, 2, 2]
    assert admission.asked == ["acme"]
    admission.now_s += HOLDS_S
    admission.says = 0
    assert await book.rank_of("acme") == 0
    assert admission.asked == ["acme", "acme"]


@pytest.mark.parametrize("refusal", [TenantSuspended, TenantUnknown, ResidencyRouterOutside])
async def test_a_refusal_holds_as_long(refusal: type[DomainError]) -> None:
    """A flood of a suspended tenant asks twice a second; who is resumed is served again after half a second."""
    admission = Admission(refusal())
    book = book_of(admission)
    for _ in range(3):
        with pytest.raises(refusal):
            await book.rank_of("acme")
    assert len(admission.asked) == 1
    admission.now_s += HOLDS_S
    admission.says = 1
    assert await book.rank_of("acme") == 1


async def test_calls_at_once_ask_once() -> None:
    """All of a tenant's wait for the same answer; other tenants' ask for their own."""
    admission = Admission(2)
    admission.open.clear()
    book = book_of(admission)
    calls = [asyncio.create_task(book.rank_of(tenant)) for tenant in ["acme"] * 5 + ["rival"]]
    await asyncio.sleep(0)
    admission.open.set()
    assert await asyncio.gather(*calls) == [2] * 6
    assert sorted(admission.asked) == ["acme", "rival"]


async def test_who_hangs_up_takes_nobody_along() -> None:
    """Not even who asked first."""
    admission = Admission(2)
    admission.open.clear()
    book = book_of(admission)
    first, second = (asyncio.create_task(book.rank_of("acme")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    admission.open.set()
    assert await second == 2
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_silent_admission_refuses_nobody_new() -> None:
    """Of unknown rank, and the silence is remembered as an answer is: no call of a flood waits for the next."""
    admission = Admission(BackendUnavailable())
    book = book_of(admission)
    assert [await book.rank_of("acme") for _ in range(3)] == [None] * 3
    assert len(admission.asked) == 1


@pytest.mark.parametrize("known", [2, TenantSuspended()])
async def test_the_last_answer_stands_while_none_comes(known: int | DomainError) -> None:
    """For a minute: a suspended tenant gains nothing by admission's loss. Then nothing is known."""
    admission = Admission(known)
    book = book_of(admission)

    async def told() -> int | str | None:
        try:
            return await book.rank_of("acme")
        except TenantSuspended:
            return "suspended"

    first = await told()
    admission.says = BackendUnavailable()
    for _ in range(3):
        admission.now_s += STANDS_S / 4
        assert await told() == first
    admission.now_s += STANDS_S / 2
    assert await told() is None


async def test_a_defect_is_told_to_who_asked() -> None:
    """And not remembered."""
    admission = Admission()

    async def broken(_tenant: str) -> int:
        raise ZeroDivisionError

    book = StandingBook(broken, admission.clock)
    with pytest.raises(ZeroDivisionError):
        await book.rank_of("acme")
    assert len(book) == 0


async def test_what_is_known_is_bounded() -> None:
    """Who was asked about the longest ago is forgotten first."""
    admission = Admission()
    book = book_of(admission)
    for number in range(MAX_KNOWN + 5):
        await book.rank_of(f"tenant-{number}")
    assert len(book) == MAX_KNOWN
    await book.rank_of(f"tenant-{MAX_KNOWN}")
    assert len(admission.asked) == MAX_KNOWN + 5
    await book.rank_of("tenant-0")
    assert len(admission.asked) == MAX_KNOWN + 6


async def test_questions_at_once_are_bounded() -> None:
    """One tenant more is served as one of whom nothing is known, at once."""
    admission = Admission(2)
    admission.open.clear()
    book = book_of(admission)
    calls = [asyncio.create_task(book.rank_of(f"tenant-{number}")) for number in range(MAX_ASKING)]
    await asyncio.sleep(0)
    assert await book.rank_of("one-more") is None
    admission.open.set()
    assert await asyncio.gather(*calls) == [2] * MAX_ASKING


async def test_closing_ends_what_is_under_way() -> None:
    """Whoever waits is cancelled; nothing is left behind."""
    admission = Admission(2)
    admission.open.clear()
    book = book_of(admission)
    call = asyncio.create_task(book.rank_of("acme"))
    await asyncio.sleep(0)
    await book.aclose()
    with pytest.raises(asyncio.CancelledError):
        await call
