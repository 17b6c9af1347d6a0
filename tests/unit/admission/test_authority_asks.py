"""Asks that are answered in process: bounded, in the background, and never the end of the holder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from tests.unit.admission.quota_world import settle

from trunkline_admission.authority_asks import AuthorityAsks
from trunkline_admission.quota import (
    BucketLimit,
    Grant,
    Limits,
    LimitState,
    LimitWarning,
    Period,
    QuotaSource,
    Refusal,
    Scope,
    TenantQuota,
    Unit,
)
from trunkline_lease import NOTHING, Answer, Ask, Charge
from trunkline_mesh.errors import MapNotReady, TenantUnknown

WARNING = LimitWarning(Scope.TENANT, Period.DAY, Unit.REQUESTS, 0.9, False, 1_800_000_000.0)
REFUSAL = Refusal(Scope.KEY, Period.DAY, Unit.TOKENS, 3600.0)
LIMITS = Limits(BucketLimit(1.0, 10.0), None)


class Book:
    """One tenant with a key of its own."""

    error: Exception | None = None

    def now(self, tenant_id: str) -> TenantQuota:
        if self.error is not None:
            raise self.error
        return TenantQuota(tenant_id, "pro", 1, LIMITS, 0.5, keys={"robot": LIMITS})


class Authority:
    """Answers when let, and remembers what it was asked."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[tuple[Charge, Charge, str, Charge]] = []
        self.answer = Grant(Charge(1, 5), QuotaSource.LOCAL, warnings=(WARNING,))
        self.error: Exception | None = None

    async def take(
        self,
        quota: TenantQuota,
        wanted: Charge,
        returned: Charge = NOTHING,
        *,
        key: str = "",
        advanced: Charge = NOTHING,
    ) -> Grant:
        self.asked.append((wanted, returned, key, advanced))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.answer

    async def states(self, quota: TenantQuota, key: str = "") -> Sequence[LimitState]:
        return ()


class Keeper:
    """Learns what became of each ask."""

    def __init__(self) -> None:
        self.answers: list[tuple[Ask, Answer]] = []
        self.lost_asks: list[Ask] = []

    def answered(self, ask: Ask, answer: Answer) -> None:
        self.answers.append((ask, answer))

    def lost(self, asks: Sequence[Ask]) -> None:
        self.lost_asks.extend(asks)


class Bench:
    """Asks over these."""

    def __init__(self, *, workers: int = 2, max_waiting: int = 10) -> None:
        self.book, self.authority, self.keeper = Book(), Authority(), Keeper()
        self.asks = AuthorityAsks(
            self.keeper, self.book, self.authority, valid_s=5.0, workers=workers, max_waiting=max_waiting
        )


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[Bench]:
    task = asyncio.ensure_future(bench.asks.run())
    try:
        yield bench
    finally:
        bench.authority.gate.set()
        bench.asks.finish()
        async with asyncio.timeout(10):
            await task


def ask(key: str = "") -> Ask:
    return Ask("acme", Charge(1, 5), 0.0, Charge(0, 2), key, Charge(3, 3))


async def test_an_ask_reaches_the_authority_as_it_is() -> None:
    """Wanted, returned, key and advance go in; grant, validity, rank, source and notes come out."""
    async with running(Bench()) as bench:
        assert bench.asks.send(ask("robot"))
        await settle()

        ((_, answer),) = bench.keeper.answers
        assert bench.authority.asked == [(Charge(1, 5), Charge(0, 2), "robot", Charge(3, 3))]
        assert (answer.granted, answer.valid_s, answer.spent.rank) == (Charge(1, 5), 5.0, 1)
        assert answer.spent.source.name == "LOCAL"
        assert [(note.used_part, note.reset_time.seconds) for note in answer.spent.notes] == [(0.9, 1_800_000_000)]


async def test_a_key_without_limits_counts_as_none() -> None:
    """The map may have changed since the holder asked."""
    async with running(Bench()) as bench:
        bench.asks.send(ask("somebody"))
        await settle()

        assert bench.authority.asked[0][2] == ""


async def test_a_refusal_says_whose_limit_it_was() -> None:
    """Scope, period, unit and delay reach the holder."""
    async with running(Bench()) as bench:
        bench.authority.answer = Grant(NOTHING, QuotaSource.AUTHORITY, REFUSAL)
        bench.asks.send(ask())
        await settle()

        refused = bench.keeper.answers[0][1].refused
        assert refused is not None
        assert refused.error().metadata == {"scope": "key", "period": "day", "unit": "tokens"}
        assert refused.retry_delay_s == 3600.0


@pytest.mark.parametrize("error", [MapNotReady(), RuntimeError("a defect")])
async def test_an_ask_that_fails_is_lost_and_the_next_one_answered(error: Exception) -> None:
    """Whoever waits for it goes on; the workers live."""
    async with running(Bench(workers=1)) as bench:
        bench.authority.error = error
        bench.asks.send(ask())
        await settle()
        bench.authority.error = None
        bench.asks.send(ask())
        await settle()

        assert (len(bench.keeper.lost_asks), len(bench.keeper.answers)) == (1, 1)


async def test_a_tenant_that_is_gone_is_refused() -> None:
    """What it held is void; nothing is asked of the store."""
    async with running(Bench()) as bench:
        bench.book.error = TenantUnknown()
        bench.asks.send(ask())
        await settle()

        assert bench.keeper.answers[0][1].granted == NOTHING
        assert not bench.authority.asked


async def test_asks_are_bounded_and_worked_on_a_few_at_a_time() -> None:
    """A store that hangs is asked by the workers alone; what exceeds the queue is not taken."""
    async with running(Bench(workers=2, max_waiting=3)) as bench:
        bench.authority.gate.clear()
        await settle()
        sent = [bench.asks.send(ask()) for _ in range(2)]
        await settle()
        sent += [bench.asks.send(ask()) for _ in range(5)]

        assert sent == [True, True, True, True, True, False, False]
        assert len(bench.authority.asked) == 2


async def test_after_a_doubt_the_next_answer_restores_trust() -> None:
    """Nobody waits for answers after one that took too long, until one comes."""
    async with running(Bench()) as bench:
        bench.asks.doubt()
        assert not bench.asks.healthy

        bench.asks.send(ask())
        await settle()

        assert bench.asks.healthy


async def test_the_end_answers_what_was_taken_and_takes_no_more() -> None:
    """What was sent before the end is answered: returns reach the authority."""
    async with running(Bench()) as bench:
        bench.asks.send(ask())
        bench.asks.finish()
        assert not bench.asks.send(ask())
        assert not bench.asks.connected

    assert len(bench.keeper.answers) == 1
