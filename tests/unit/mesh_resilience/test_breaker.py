"""What a breaker lets through, what it learns from, and when it changes its mind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

import pytest
from circuitbreaker import CircuitBreaker
from tests.unit.mesh_resilience.virtual_time import ManualClock

from trunkline_mesh.breaker import Breaker, BreakerState, Transition
from trunkline_mesh.breaker_policy import (
    INFERENCE_POLICY,
    QUOTA_POLICY,
    REGION_POLICY,
    STORE_POLICY,
    BreakerPolicy,
    FailureCount,
)
from trunkline_mesh.errors import (
    BackendTimeout,
    BackendUnavailable,
    CircuitOpen,
    CollectionUnknown,
    DeadlineExceeded,
    Internal,
    Overloaded,
    StaleMap,
)

NO_JITTER = 0.5
"""A random number that leaves rests as they are."""


class Subject:
    """A breaker on a manual clock, with a record of its transitions."""

    def __init__(self, policy: BreakerPolicy = REGION_POLICY, rng: float = NO_JITTER) -> None:
        self.clock = ManualClock()
        self.transitions: list[Transition] = []
        self.breaker = Breaker(
            "dep/region/Method", policy, clock=self.clock, rng=lambda: rng, on_transition=self.transitions.append
        )

    def state(self) -> BreakerState:
        return self.breaker.state

    async def succeed(self, times: int = 1, takes_s: float = 0.0) -> None:
        async def func() -> None:
            self.clock.advance(takes_s)

        for _ in range(times):
            await self.breaker.call(func)

    async def fail(self, times: int = 1, error: BaseException | None = None, takes_s: float = 0.0) -> None:
        failure = error or BackendUnavailable()

        async def func() -> None:
            self.clock.advance(takes_s)
            raise failure

        for _ in range(times):
            with pytest.raises(type(failure)):
                await self.breaker.call(func)

    async def open_it(self) -> None:
        while self.state() is BreakerState.CLOSED:
            await self.fail()

    def rest(self) -> None:
        self.clock.advance(self.breaker.open_remaining)


def held(release: asyncio.Event, error: Exception | None = None) -> Callable[[], Awaitable[None]]:
    async def func() -> None:
        await release.wait()
        if error is not None:
            raise error

    return func


async def cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("policy", [REGION_POLICY, STORE_POLICY], ids=["region", "store"])
async def test_five_failures_in_thirty_seconds_open(policy: BreakerPolicy) -> None:
    """The fifth failure within 30 s opens, whatever succeeded between them."""
    subject = Subject(policy)
    for _ in range(4):
        await subject.fail()
        await subject.succeed(100)
        subject.clock.advance(7)
    assert subject.state() is BreakerState.CLOSED
    await subject.fail()
    assert subject.state() is BreakerState.OPEN
    assert subject.breaker.retry_after_s() == pytest.approx(30.0)


async def test_five_failures_in_a_longer_time_do_not_open() -> None:
    """Failures further apart than the rule's window are not counted together."""
    subject = Subject()
    for _ in range(50):
        await subject.fail()
        subject.clock.advance(8)
    assert subject.state() is BreakerState.CLOSED


async def test_half_of_twenty_calls_opens_even_on_a_success() -> None:
    """The ratio speaks as soon as the window holds enough calls, and not before."""
    policy = BreakerPolicy(min_calls=20, ratio=0.5)
    subject = Subject(policy)
    await subject.fail(10)
    await subject.succeed(9)
    assert subject.state() is BreakerState.CLOSED
    await subject.succeed()
    assert subject.state() is BreakerState.OPEN


async def test_eighty_percent_errors_open_where_the_library_alone_stays_closed() -> None:
    """A ratio is a failure too: four of five calls fail, never five in a row."""
    naive = CircuitBreaker(failure_threshold=5, name="naive")
    subject = Subject(BreakerPolicy())

    async def dependency(number: int) -> None:
        if number % 5:
            raise ConnectionError

    guarded = naive(dependency)
    for number in range(40):
        with pytest.raises(ConnectionError) if number % 5 else nullcontext():
            await guarded(number)
        if subject.state() is BreakerState.CLOSED:
            await (subject.fail() if number % 5 else subject.succeed())
    assert naive.closed
    assert subject.state() is BreakerState.OPEN


async def test_old_calls_leave_the_ratio() -> None:
    """Calls older than the window no longer count."""
    subject = Subject(BreakerPolicy())
    await subject.fail(19)
    subject.clock.advance(10.0)
    await subject.fail(19)
    assert subject.state() is BreakerState.CLOSED


async def test_three_consecutive_failures_open_inference() -> None:
    """A success between them starts the count anew."""
    subject = Subject(INFERENCE_POLICY)
    await subject.fail(2)
    await subject.succeed()
    await subject.fail(2)
    assert subject.state() is BreakerState.CLOSED
    await subject.fail()
    assert subject.state() is BreakerState.OPEN
    assert subject.breaker.open_remaining == pytest.approx(60.0)


async def test_a_tenth_of_the_calls_opens_inference() -> None:
    """2 of 20 calls, never two in a row."""
    subject = Subject(INFERENCE_POLICY)
    await subject.succeed(9)
    await subject.fail()
    await subject.succeed(9)
    assert subject.state() is BreakerState.CLOSED
    await subject.fail()
    assert subject.state() is BreakerState.OPEN


async def test_slow_calls_count_as_failures() -> None:
    """A success that took longer than 2 s speaks against the dependency; one of 2 s does not."""
    subject = Subject()
    await subject.succeed(20, takes_s=2.0)
    assert subject.state() is BreakerState.CLOSED
    await subject.succeed(5, takes_s=2.01)
    assert subject.state() is BreakerState.OPEN
    assert subject.transitions[-1].cause == "slow call"


async def test_quota_store_opens_after_three_slow_answers() -> None:
    """Admission's store may cost three calls of 50 ms, and is tried again within seconds."""
    subject = Subject(QUOTA_POLICY)
    await subject.fail(3, TimeoutError(), takes_s=0.05)
    assert subject.state() is BreakerState.OPEN
    assert 1 <= subject.breaker.open_remaining <= 5


@pytest.mark.parametrize(
    "error",
    [
        BackendUnavailable(),
        BackendTimeout(),
        Internal(),
        TimeoutError(),
        ConnectionResetError(),
        RuntimeError("driver"),
        ExceptionGroup("group", [CollectionUnknown(), BackendTimeout()]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_the_dependencys_failures_count(error: Exception) -> None:
    """Faults REGION and INTERNAL count, and so does everything that is no domain error."""
    subject = Subject()
    await subject.fail(5, error, takes_s=0.2)
    assert subject.state() is BreakerState.OPEN


@pytest.mark.parametrize(
    "error",
    [
        CollectionUnknown(),
        DeadlineExceeded(),
        Overloaded(),
        StaleMap(),
        CircuitOpen(),
        ExceptionGroup("group", [CollectionUnknown(), Overloaded()]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_faults_of_callers_and_load_do_not_count(error: Exception) -> None:
    """Neither bad requests, nor the expiry of the caller's own deadline, nor overload open a breaker."""
    subject = Subject()
    await subject.fail(40, error)
    assert subject.state() is BreakerState.CLOSED


@pytest.mark.parametrize("error", [BackendTimeout(), TimeoutError()], ids=lambda error: type(error).__name__)
async def test_timeouts_that_gave_no_fair_chance_do_not_count(error: Exception) -> None:
    """Callers in a hurry cannot open the breaker for everybody: below the stage's budget a timeout says nothing."""
    subject = Subject()
    await subject.fail(40, error, takes_s=0.09)
    assert subject.state() is BreakerState.CLOSED
    await subject.fail(5, error, takes_s=0.11)
    assert subject.state() is BreakerState.OPEN


async def test_a_slow_refusal_counts_unless_it_was_load() -> None:
    """Time that the dependency took is evidence of its own; waiting for a map or a queue is not."""
    patient, loaded = Subject(), Subject()
    await patient.fail(5, DeadlineExceeded(), takes_s=2.5)
    await loaded.fail(5, StaleMap(), takes_s=2.5)
    assert patient.state() is BreakerState.OPEN
    assert loaded.state() is BreakerState.CLOSED


async def test_cancelled_calls_change_nothing_where_the_library_forgets_its_failures() -> None:
    """Four failures and a cancelled call: the fifth failure still opens."""
    naive = CircuitBreaker(failure_threshold=5, name="naive")
    subject = Subject()
    never = asyncio.Event()

    async def dependency(*, fails: bool) -> None:
        if fails:
            raise ConnectionError
        await never.wait()

    guarded = naive(dependency)
    for _ in range(4):
        with pytest.raises(ConnectionError):
            await guarded(fails=True)
        await subject.fail()
    for task in (asyncio.create_task(guarded(fails=False)), asyncio.create_task(subject.breaker.call(never.wait))):
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert naive.failure_count == 0
    assert subject.breaker.failure_count == 4
    await subject.fail()
    assert subject.state() is BreakerState.OPEN


async def test_an_open_breaker_does_not_call() -> None:
    """It refuses at once, says when to come back, and names itself."""
    subject = Subject()
    await subject.open_it()
    called = False

    async def func() -> None:
        nonlocal called
        called = True

    with pytest.raises(CircuitOpen) as refused:
        await subject.breaker.call(func)
    assert not called
    assert refused.value.retry_delay_s == pytest.approx(30.0)
    assert refused.value.metadata == {"dependency": "dep/region/Method"}


async def test_half_open_lets_one_of_a_thousand_through_where_the_library_lets_all() -> None:
    """The herd that waited for the rest to end does not fall on the dependency together."""
    naive = CircuitBreaker(failure_threshold=1, recovery_timeout=1, name="naive")
    subject = Subject()
    naive_calls = our_calls = 0
    release = asyncio.Event()

    async def dependency() -> None:
        nonlocal naive_calls
        naive_calls += 1
        await release.wait()

    async def probe() -> None:
        nonlocal our_calls
        our_calls += 1
        await release.wait()

    naive._state, naive._opened = "open", -10.0
    await subject.open_it()
    subject.rest()
    guarded = naive(dependency)
    herd = [asyncio.create_task(guarded()) for _ in range(1000)]
    herd += [asyncio.create_task(subject.breaker.call(probe)) for _ in range(1000)]
    await asyncio.sleep(0)
    release.set()
    results = await asyncio.gather(*herd, return_exceptions=True)
    assert naive_calls == 1000
    assert our_calls == 1
    assert sum(isinstance(result, CircuitOpen) for result in results) == 999


async def test_three_probes_one_after_the_other_close() -> None:
    """Two good probes are not enough."""
    subject = Subject()
    await subject.open_it()
    subject.rest()
    await subject.succeed(2)
    assert subject.state() is BreakerState.HALF_OPEN
    await subject.succeed()
    assert subject.state() is BreakerState.CLOSED
    assert [(step.before, step.after) for step in subject.transitions] == [
        (BreakerState.CLOSED, BreakerState.OPEN),
        (BreakerState.OPEN, BreakerState.HALF_OPEN),
        (BreakerState.HALF_OPEN, BreakerState.CLOSED),
    ]


async def test_a_failed_probe_rests_again() -> None:
    """And the good probes before it are forgotten."""
    subject = Subject()
    await subject.open_it()
    subject.rest()
    await subject.succeed(2)
    await subject.fail()
    assert subject.state() is BreakerState.OPEN
    subject.rest()
    await subject.succeed(2)
    assert subject.state() is BreakerState.HALF_OPEN


async def test_a_refused_probe_says_nothing_and_frees_its_place() -> None:
    """A probe that ends in overload neither closes nor reopens."""
    subject = Subject()
    await subject.open_it()
    subject.rest()
    await subject.fail(1, Overloaded())
    assert subject.state() is BreakerState.HALF_OPEN
    assert not subject.breaker.is_open()
    await subject.succeed(3)
    assert subject.state() is BreakerState.CLOSED


async def test_a_cancelled_probe_frees_its_place() -> None:
    """The next caller becomes the probe."""
    subject = Subject()
    await subject.open_it()
    subject.rest()
    probe = asyncio.create_task(subject.breaker.call(held(asyncio.Event())))
    await asyncio.sleep(0)
    assert subject.breaker.is_open()
    await cancelled(probe)
    assert not subject.breaker.is_open()
    await subject.succeed(3)
    assert subject.state() is BreakerState.CLOSED


async def test_a_probe_that_hangs_is_a_failed_probe() -> None:
    """Once it is slow it has failed: the next caller finds the breaker resting, and its late success is ignored."""
    subject = Subject()
    await subject.open_it()
    subject.rest()
    release = asyncio.Event()
    probe = asyncio.create_task(subject.breaker.call(held(release)))
    await asyncio.sleep(0)
    subject.clock.advance(2.5)
    with pytest.raises(CircuitOpen):
        await subject.breaker.call(release.wait)
    assert subject.state() is BreakerState.OPEN
    release.set()
    await probe
    assert subject.state() is BreakerState.OPEN


async def test_a_late_success_does_not_close_where_the_library_closes() -> None:
    """A call that began before the breaker opened belongs to the past."""
    naive = CircuitBreaker(failure_threshold=5, name="naive")
    subject = Subject()
    release = asyncio.Event()

    async def dependency(*, fails: bool) -> None:
        if fails:
            raise ConnectionError
        await release.wait()

    guarded = naive(dependency)
    late = [asyncio.create_task(guarded(fails=False)), asyncio.create_task(subject.breaker.call(held(release)))]
    await asyncio.sleep(0)
    for _ in range(5):
        with pytest.raises(ConnectionError):
            await guarded(fails=True)
    await subject.open_it()
    assert naive.opened
    release.set()
    await asyncio.gather(*late)
    assert naive.closed
    assert subject.state() is BreakerState.OPEN


async def test_late_failures_do_not_prolong_the_rest() -> None:
    """What calls of before the opening report neither restarts the rest nor fails a probe."""
    subject = Subject()
    release = asyncio.Event()
    late = [asyncio.create_task(subject.breaker.call(held(release, BackendUnavailable()))) for _ in range(10)]
    await asyncio.sleep(0)
    await subject.open_it()
    subject.rest()
    await subject.succeed()
    release.set()
    await asyncio.gather(*late, return_exceptions=True)
    assert subject.state() is BreakerState.HALF_OPEN
    assert subject.breaker.opening_count == 1


async def test_flapping_rests_long() -> None:
    """The fourth opening within ten minutes rests 300 s; one after a quiet time rests 30 s again."""
    subject = Subject()
    rests: list[float] = []
    for _ in range(4):
        await subject.open_it()
        rests.append(subject.breaker.open_remaining)
        subject.rest()
        await subject.succeed(3)
    assert rests == pytest.approx([30.0, 30.0, 30.0, 300.0])
    subject.clock.advance(600)
    await subject.open_it()
    assert subject.breaker.open_remaining == pytest.approx(30.0)
    assert subject.breaker.opening_count == 5


async def test_a_dead_dependency_is_tried_every_rest() -> None:
    """Failed probes belong to one opening: a region that was away for long is found again within one rest."""
    subject = Subject()
    await subject.open_it()
    for _ in range(20):
        assert subject.breaker.open_remaining == pytest.approx(30.0)
        subject.rest()
        await subject.fail()
    assert subject.breaker.opening_count == 1


@pytest.mark.parametrize(("rng", "rest_s"), [(0.0, 27.0), (0.5, 30.0), (0.999999, 33.0)])
async def test_rests_are_jittered(rng: float, rest_s: float) -> None:
    """By a tenth either way, from the injected source."""
    subject = Subject(rng=rng)
    await subject.open_it()
    assert subject.breaker.open_remaining == pytest.approx(rest_s, rel=1e-4)


async def test_reset_closes_and_forgets() -> None:
    """An operator's reset leaves no failure behind."""
    subject = Subject()
    await subject.open_it()
    subject.breaker.reset()
    await subject.fail(4)
    assert subject.state() is BreakerState.CLOSED


async def test_the_librarys_unsafe_ways_in_are_closed() -> None:
    """Neither `with` nor decoration reaches the library's own rules."""
    breaker = Subject().breaker
    with pytest.raises(TypeError), breaker:
        pass
    with pytest.raises(TypeError):
        breaker(held(asyncio.Event()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_calls": 0},
        {"ratio": 0.0},
        {"ratio": 1.5},
        {"rest_s": 0.0},
        {"probes": 0},
        {"jitter": 1.0},
        {"fair_timeout_s": 2.5},
        {"consecutive_failures": -1},
        {"failures_in": FailureCount(0, 30.0)},
        {"failures_in": FailureCount(5, 0.0)},
    ],
    ids=str,
)
def test_policies_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    """A rule that always or never holds is a mistake."""
    with pytest.raises(ValueError, match="must be"):
        BreakerPolicy(**wrong)  # type: ignore[arg-type]  # wrong on purpose
