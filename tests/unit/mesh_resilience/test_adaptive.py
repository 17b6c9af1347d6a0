"""The adaptive limit against simulated backends: it finds what they can do, and forgets what they no longer do."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline_mesh.adaptive import FIRST_TRIAL_S, MAX_KINDS, TOLERANCE, AdaptiveLimit

STEP_S = 0.02


@dataclass
class Backend:
    """Runs `knee` calls at full speed; beyond, all share what it can do. Time is counted in steps."""

    limit: AdaptiveLimit
    knee: float
    alone_s: float = 0.1
    noise: Callable[[], float] = lambda: 1.0
    now_s: float = 1000.0
    done: float = 0.0
    limits: list[int] = field(default_factory=list)
    _due: float = 0.0

    def run(self, seconds: float, wanted: float, kind: str = "") -> None:
        """Let `wanted` calls be under way or waiting all the time."""
        self.limits = []
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            running = min(wanted, self.limit.slots)
            takes_s = self.alone_s * max(1.0, running / self.knee)
            self._due += running * STEP_S / takes_s
            self.now_s += STEP_S
            while self._due >= 1.0:
                self._due -= 1.0
                self.done += 1
                self.limit.learn(kind, takes_s * self.noise(), wanted, self.now_s)
            self.limits.append(self.limit.slots)

    def mean_limit(self) -> float:
        return sum(self.limits) / len(self.limits)


def backend(knee: float, *, least: int = 4, most: int = 64, seed: int = 1, noisy: bool = False) -> Backend:
    rng = random.Random(seed)
    limit = AdaptiveLimit(least, most, rng=rng.random)
    return Backend(limit, knee, noise=(lambda: rng.expovariate(1.0)) if noisy else (lambda: 1.0))


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize(("seed", "most"), [(1, 2), (2, 9), (3, 64), (4, 200)])
def test_a_steady_server_stays_at_its_maximum(seed: int, most: int, *, noisy: bool) -> None:
    """Calls that never wait for each other are never held back, however many there are and however they scatter."""
    server = backend(1e9, least=min(4, most), most=most, seed=seed, noisy=noisy)
    server.run(FIRST_TRIAL_S / 3, wanted=2 * most)
    assert server.mean_limit() >= 0.97 * most
    if not noisy:
        assert set(server.limits) == {most}


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize(("seed", "knee"), [(1, 6), (2, 13), (3, 25), (4, 40)])
def test_it_converges_where_calls_begin_to_wait_for_each_other(seed: int, knee: int, *, noisy: bool) -> None:
    """After calm times under load: within the tolerance of the backend's own capacity, and never less than that."""
    server = backend(knee, most=128, seed=seed, noisy=noisy)
    server.run(20, wanted=knee / 2)
    server.run(120, wanted=300)
    tail = server.limits[-1000:]
    assert sum(tail) / len(tail) <= 1.25 * TOLERANCE * knee
    assert sum(min(limit, knee) for limit in tail) / len(tail) >= 0.9 * knee


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_it_follows_a_backend_that_halves_and_comes_back(seed: int, *, noisy: bool) -> None:
    """Half of the machines go, and return."""
    server = backend(40, most=128, seed=seed, noisy=noisy)
    server.run(20, wanted=20)
    server.run(30, wanted=300)
    server.knee = 20
    server.run(60, wanted=300)
    assert sum(server.limits[-1000:]) / 1000 <= 1.3 * TOLERANCE * 20
    server.knee = 40
    server.run(60, wanted=300)
    tail = server.limits[-1000:]
    assert sum(min(limit, 40) for limit in tail) / len(tail) >= 0.9 * 40


@pytest.mark.parametrize("factor", [3.0, 10.0])
@pytest.mark.parametrize("noisy", [False, True])
def test_calls_that_take_longer_by_nature_are_not_held_back(factor: float, *, noisy: bool) -> None:
    """Fewer at once did not make them faster, so it is not for each other that they wait: a larger model, say."""
    server = backend(1e9, noisy=noisy)
    server.run(20, wanted=100)
    server.alone_s *= factor
    server.run(120, wanted=100)
    assert sum(server.limits[-1000:]) / 1000 >= 0.95 * 64
    server.alone_s /= factor
    server.run(20, wanted=100)
    assert sum(server.limits[-500:]) / 500 >= 0.95 * 64


@pytest.mark.parametrize("noisy", [False, True])
def test_mild_overload_lets_nothing_drift_upward(*, noisy: bool) -> None:
    """An hour a little above the knee, below the ceiling: the limit does not creep to where calls take ever longer."""
    server = backend(10, most=200, noisy=noisy)
    server.run(20, wanted=5)
    ends = []
    for _ in range(12):
        server.run(300, wanted=40)
        ends.append(server.mean_limit())
    assert max(ends) <= 1.3 * TOLERANCE * 10
    assert ends[-1] <= 1.2 * ends[0]


def test_a_base_that_was_learned_in_overload_is_found_out() -> None:
    """A server that never had a calm minute: rare trials with fewer at once show what calls take unhindered."""
    server = backend(10, most=100)
    server.run(60, wanted=300)
    assert server.limits[-1] == 100, "nothing tells it yet"
    server.run(2 * FIRST_TRIAL_S, wanted=300)
    server.run(60, wanted=300)
    assert sum(server.limits[-1000:]) / 1000 <= 1.3 * TOLERANCE * 10


def test_trials_that_find_nothing_become_rare() -> None:
    """A steady server in lasting overload loses next to nothing to them."""
    server = backend(1e9)
    server.alone_s = 2.0
    server.run(6 * 3600, wanted=100)
    assert server.mean_limit() >= 0.995 * 64
    assert min(server.limits) >= 32
    trials = sum(after < before for before, after in zip(server.limits, server.limits[1:], strict=False))
    assert 1 <= trials <= 10


def test_it_comes_up_again_from_the_floor() -> None:
    """Where nothing is left to take away, more at once is tried now and then, so that no wrong base pins it there."""
    server = backend(1e9, least=4)
    server.run(20, wanted=100)
    server.limit._set(4, server.now_s)
    server.alone_s *= 5
    server.run(180, wanted=100)
    assert server.limits[-1] == 64


@settings(max_examples=50, deadline=None)
@given(
    calls=st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]),
            st.floats(0, 100),
            st.floats(0, 1000),
            st.floats(0, 5),
            st.booleans(),
        ),
        max_size=600,
    ),
    least=st.integers(1, 20),
    room=st.integers(0, 100),
    seed=st.integers(0, 1000),
)
def test_it_never_leaves_its_bounds(
    calls: list[tuple[str, float, float, float, bool]], least: int, room: int, seed: int
) -> None:
    """Whatever it is told."""
    limit, now_s = AdaptiveLimit(least, least + room, rng=random.Random(seed).random), 0.0
    for kind, held_s, wanted, later_s, failed in calls:
        now_s += later_s
        slots = limit.learn(kind, held_s, wanted, now_s, failed=failed)
        assert least <= slots <= least + room
        assert slots == limit.slots


def test_quick_failures_are_no_evidence() -> None:
    """A breaker that is open answers in no time; that is not what calls take."""
    server = backend(1e9)
    server.run(20, wanted=100)
    for number in range(5000):
        server.limit.learn("", 0.0001, 100, server.now_s + number * 0.001, failed=True)
    server.now_s += 5
    server.run(60, wanted=100)
    assert set(server.limits) == {64}


def test_calls_that_all_time_out_hold_nobody_back() -> None:
    """They end as failures after a long time, with many or few at once alike (concurrency-limits #137)."""
    server = backend(1e9)
    server.run(20, wanted=100)
    now_s = server.now_s
    for _ in range(4000):
        now_s += 0.05
        server.limit.learn("", 3.0, 100, now_s, failed=True)
    server.now_s = now_s
    server.run(30, wanted=100)
    assert server.limits[-1] == 64


def test_kinds_of_calls_are_told_apart() -> None:
    """Slow ones among quick ones are no sign of waiting; and there is an end to how many are kept."""
    server = backend(1e9)
    for kind, takes_s in (("search", 0.1), ("route", 0.002), ("write", 0.5)) * 10:
        server.alone_s = takes_s
        server.run(5, wanted=80, kind=kind)
        assert set(server.limits) == {64}
    for number in range(10 * MAX_KINDS):
        server.limit.learn(f"kind-{number}", 0.1, 1, server.now_s)
    assert len(server.limit._kinds) <= MAX_KINDS + 1


def test_a_light_load_is_never_judged() -> None:
    """So few calls as the floor always allows cannot be too many."""
    server = backend(1e9, least=8)
    server.run(60, wanted=6)
    server.alone_s *= 20
    server.run(60, wanted=6)
    assert set(server.limits) == {64}


@pytest.mark.parametrize(("least", "most"), [(0, 5), (6, 5), (-1, 1)])
def test_bounds_that_do_not_nest_are_refused(least: int, most: int) -> None:
    """A floor of at least one slot, not above the ceiling."""
    with pytest.raises(ValueError, match="floor"):
        AdaptiveLimit(least, most)


def test_without_room_between_floor_and_ceiling_nothing_is_learned() -> None:
    """The limit is what the operator says."""
    limit = AdaptiveLimit(5, 5)
    for number in range(1000):
        assert limit.learn("", math.exp(number % 7), 50, number * 0.1) == 5
    assert not limit._kinds
