"""A circuit breaker for asynchronous calls, built on the `circuitbreaker` library's state holder.

The library alone does not fit a system of deadlines and concurrent calls (2.1.3): a cancelled call closes it, half-open
it lets everybody through, it counts consecutive failures only, the late success of an old call closes it, and calls
through `with` are never refused. So `Breaker` keeps the library's object (its state names, properties and tools that
read them) and replaces the rules; `BreakerPolicy` holds the numbers.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final, NamedTuple, NoReturn, TypeVar

from circuitbreaker import STATE_CLOSED, STATE_HALF_OPEN, STATE_OPEN, CircuitBreaker

from trunkline_mesh.breaker_policy import BreakerPolicy, Outcome, outcome_of
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.errors import CircuitOpen
from trunkline_mesh.rolling_window import RollingWindow
from trunkline_mesh.stall import StallDetector, stalls_of

T = TypeVar("T")

PROBE_RETRY_S: Final = 0.25
"""What a caller is told to wait while somebody else's probe is out."""


class BreakerState(StrEnum):
    """The three states, under the library's names."""

    CLOSED = STATE_CLOSED
    OPEN = STATE_OPEN
    HALF_OPEN = STATE_HALF_OPEN


class Transition(NamedTuple):
    """One change of state, for metrics and logs."""

    name: str
    before: BreakerState
    after: BreakerState
    rest_s: float
    """How long the breaker will rest; 0 unless `after` is OPEN."""
    cause: str
    """Class name of the exception that decided it, `slow call`, or empty; never an exception's text."""


def ignore_transition(transition: Transition) -> None:
    """Do nothing: the observer of a breaker that nobody observes."""


class Breaker(CircuitBreaker):  # type: ignore[misc]  # the library ships no types
    """Guards one method of one dependency in one region, in one process and one event loop.

    A closed breaker costs a call about a microsecond. Cancelled calls change nothing. Half-open, exactly one call is
    out at a time. What a call started before the last change of state has to say is ignored, and so is every failure of
    a call during which this process slept itself (`stall`): that says nothing of the dependency.
    """

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy,
        *,
        clock: Clock = MONOTONIC,
        rng: Callable[[], float] = random.random,
        on_transition: Callable[[Transition], None] = ignore_transition,
        stalls: StallDetector | None = None,
    ) -> None:
        """Start closed. `rng` returns numbers in [0, 1); `on_transition` must be quick and must not raise.

        `stalls` tells when this process slept itself; the process's own detector where the clock is the usual one.
        """
        super().__init__(recovery_timeout=policy.rest_s, name=name)
        self._state: str = STATE_CLOSED
        self.policy: Final = policy
        self._clock: Final = clock
        self._rng: Final = rng
        self._on_transition: Final = on_transition
        self._stalls: Final = stalls or stalls_of(clock)
        self._generation = 0
        self._window = RollingWindow(policy.ratio_window_s)
        rule = policy.failures_in
        self._failure_times_s: deque[float] = deque(maxlen=rule.failures if rule else 1)
        self._opening_times_s: deque[float] = deque(maxlen=policy.max_openings + 1)
        self._opening_count = 0
        self._probe_started_s: float | None = None
        self._probes_passed = 0

    @property
    def state(self) -> BreakerState:
        """CLOSED, OPEN while it rests, or HALF_OPEN when the next call would be, or is, a probe."""
        if self._state == STATE_OPEN and self._clock() >= self._resting_until_s:
            return BreakerState.HALF_OPEN
        return BreakerState(self._state)

    @property
    def open_remaining(self) -> float:
        """Seconds of rest left; 0 unless OPEN."""
        return max(0.0, self._resting_until_s - self._clock()) if self._state == STATE_OPEN else 0.0

    @property
    def opening_count(self) -> int:
        """How often the breaker left CLOSED since it was made."""
        return self._opening_count

    def is_open(self) -> bool:
        """Return True if a call now would be refused, so that a caller with a choice can choose another."""
        if self._state == STATE_CLOSED:
            return False
        return self.state is BreakerState.OPEN or self._probe_is_out(self._clock())

    def retry_after_s(self) -> float:
        """Return the seconds after which a call may get through; 0 if it may now."""
        if not self.is_open():
            return 0.0
        return max(self.open_remaining, PROBE_RETRY_S)

    async def call(self, func: Callable[[], Awaitable[T]]) -> T:
        """Await `func()` if the breaker lets it through, and learn from its outcome.

        Raises CircuitOpen, without calling `func`, while the breaker rests or another caller's probe is out. Everything
        that `func` raises passes through unchanged. Turn your own expiry of a hop's timeout into BackendTimeout inside
        `func`: a cancellation from outside is no evidence against the dependency.
        """
        started_s = self._clock()
        probing = self._state != STATE_CLOSED
        if probing:
            self._admit_probe(started_s)
        generation = self._generation
        try:
            result = await func()
        except BaseException as exc:
            if generation == self._generation:
                self._learn_from(exc, started_s)
            raise
        else:
            if generation == self._generation:
                self._learn_from_success(started_s)
            return result
        finally:
            if probing and generation == self._generation:
                self._probe_started_s = None

    def reset(self) -> None:
        """Close now and forget every failure, for an operator who knows better."""
        self._close()

    def __enter__(self) -> NoReturn:
        """Refuse: the library's `with` neither blocks nor counts as this class promises."""
        raise TypeError("use `await breaker.call(func)`")

    def decorate(self, function: object) -> NoReturn:
        """Refuse: decorating would enter the breaker in the library's unbounded global registry."""
        raise TypeError(f"use `await breaker.call(func)` instead of decorating {function!r}")

    def _probe_is_out(self, now_s: float) -> bool:
        started_s = self._probe_started_s
        return started_s is not None and now_s - started_s <= self.policy.slow_call_s

    def _admit_probe(self, now_s: float) -> None:
        """Let the caller be the next probe, or raise CircuitOpen."""
        if self._state == STATE_OPEN and now_s >= self._resting_until_s:
            self._probes_passed = 0
            self._switch(BreakerState.HALF_OPEN, "")
        elif self._state == STATE_HALF_OPEN and self._probe_started_s is not None and not self._probe_is_out(now_s):
            if self._stalls.excuses(self._probe_started_s):
                self._generation += 1  # whatever it still says is of the past; the caller is the next probe
                self._probe_started_s = None
            else:
                self._open(now_s, "slow call")  # it is a failure already, and nobody shall wait for it
        if self._state == STATE_OPEN or self._probe_started_s is not None:
            raise CircuitOpen(retry_delay_s=self.retry_after_s(), metadata={"dependency": str(self.name)})
        self._probe_started_s = now_s

    def _learn_from_success(self, started_s: float) -> None:
        now_s = self._clock()
        if now_s - started_s <= self.policy.slow_call_s:
            self._succeeded(now_s)
        elif not self._stalls.excuses(started_s):
            self._failed(now_s, "slow call")

    def _learn_from(self, exc: BaseException, started_s: float) -> None:
        now_s = self._clock()
        if outcome_of(exc, now_s - started_s, self.policy) is Outcome.FAILURE and not self._stalls.excuses(started_s):
            self._failed(now_s, type(exc).__name__)

    def _succeeded(self, now_s: float) -> None:
        if self._state == STATE_HALF_OPEN:
            self._probes_passed += 1
            if self._probes_passed >= self.policy.probes:
                self._close()
            return
        self._failure_count = 0  # the library's name; here: failures since the last success
        window = self._window
        window.add(now_s, mark=False)
        if window.marked and self._ratio_is_bad():
            self._open(now_s, "failure ratio")

    def _failed(self, now_s: float, cause: str) -> None:
        if self._state == STATE_HALF_OPEN:
            self._open(now_s, cause)
            return
        self._failure_count += 1
        self._failure_times_s.append(now_s)
        self._window.add(now_s, mark=True)
        if self._too_many_in_a_row() or self._too_many_in_time(now_s) or self._ratio_is_bad():
            self._open(now_s, cause)

    def _too_many_in_a_row(self) -> bool:
        limit = self.policy.consecutive_failures
        return limit is not None and self._failure_count >= limit

    def _too_many_in_time(self, now_s: float) -> bool:
        rule = self.policy.failures_in
        times_s = self._failure_times_s
        return rule is not None and len(times_s) == rule.failures and now_s - times_s[0] <= rule.within_s

    def _ratio_is_bad(self) -> bool:
        window = self._window
        return window.total >= self.policy.min_calls and window.marked >= self.policy.ratio * window.total

    def _open(self, now_s: float, cause: str) -> None:
        """Rest. A failed probe prolongs the opening it belongs to; only leaving CLOSED is an opening of its own."""
        if self._state == STATE_CLOSED:
            self._opening_count += 1
            self._opening_times_s.append(now_s)
        rest_s = self._rest_s(now_s)
        self._opened = now_s
        self._recovery_timeout = rest_s
        self._switch(BreakerState.OPEN, cause, rest_s)

    def _rest_s(self, now_s: float) -> float:
        policy = self.policy
        times_s = self._opening_times_s
        flaps = len(times_s) > policy.max_openings and now_s - times_s[0] <= policy.openings_window_s
        spread = 1.0 + policy.jitter * (2.0 * self._rng() - 1.0)
        return (policy.long_rest_s if flaps else policy.rest_s) * spread

    @property
    def _resting_until_s(self) -> float:
        return float(self._opened + self._recovery_timeout)

    def _close(self) -> None:
        self._failure_count = 0
        self._failure_times_s.clear()
        self._window.clear()
        if self._state != STATE_CLOSED:
            self._switch(BreakerState.CLOSED, "")

    def _switch(self, after: BreakerState, cause: str, rest_s: float = 0.0) -> None:
        """Change state. The new generation makes every call that is still under way a call of the past."""
        before = BreakerState(self._state)
        self._state = after.value
        self._generation += 1
        self._probe_started_s = None
        self._on_transition(Transition(self._name, before, after, rest_s, cause))
