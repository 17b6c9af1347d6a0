"""Which router is asked first."""

from __future__ import annotations

import random
from typing import cast

import grpc
import pytest

from trunkline_client.pool import MAX_ROUTERS, RouterPool
from trunkline_client.router import Router, RouterAddress
from trunkline_client.settings import ClientSettings
from trunkline_client.signals import SILENT, Signals


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Link:
    """Stands for a channel; only its connectivity matters to the pool."""

    def __init__(self) -> None:
        self.state = grpc.ChannelConnectivity.READY

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self.state


class Setup:
    def __init__(self, *regions: str) -> None:
        self.clock = Clock()
        self.left: list[str] = []
        named = regions or ("r0", "r1", "r2")
        self.pool = RouterPool(
            [RouterAddress(region, f"127.0.0.1:{7001 + index}") for index, region in enumerate(named)],
            ClientSettings(rest_s=1.0, max_rest_s=8.0, failures_to_rest=2),
            clock=self.clock,
            rng=random.Random(7),
            connect=self.connect,
        )
        self.pool.on_leave = lambda router: self.left.append(router.address.target[-4:])
        self.routers = list(self.pool.all())

    def connect(self, target: str) -> grpc.aio.Channel:
        return cast(grpc.aio.Channel, Link())

    def order(self) -> list[str]:
        return [router.address.region for router in self.pool.ordered("Search")]

    def took(self, router: Router, seconds: float) -> None:
        router.latency("Search").record(seconds, self.clock.now_s)

    def ports(self) -> list[str]:
        return [router.address.target[-4:] for router in self.pool.ordered("Search")]

    def fail(self, router: Router, times: int = 2) -> None:
        for _ in range(times):
            self.pool.failed(router)

    def link(self, router: Router) -> Link:
        return cast(Link, router.channel)


def test_the_order_given_holds_without_measurements() -> None:
    """The owner's idea of near comes first."""
    assert Setup().order() == ["r0", "r1", "r2"]


def test_a_clearly_quicker_router_goes_first_and_a_slightly_quicker_one_does_not() -> None:
    """Half the time is a reason to change, a wobble is none."""
    setup = Setup()
    for _ in range(5):
        setup.took(setup.routers[0], 0.100)
        setup.took(setup.routers[1], 0.080)
        setup.took(setup.routers[2], 0.020)

    assert setup.order() == ["r2", "r0", "r1"]


def test_a_slow_start_is_not_held_against_a_router() -> None:
    """The first answers after a start are slow; the usual ones count."""
    setup = Setup()
    for seconds in (3.0, 1.0, 0.05, 0.05, 0.05):
        setup.took(setup.routers[0], seconds)
        setup.took(setup.routers[1], 0.05)

    assert setup.order() == ["r0", "r1", "r2"]


def test_few_samples_prove_nothing() -> None:
    """One lucky answer does not move the traffic."""
    setup = Setup()
    setup.took(setup.routers[0], 0.100)
    setup.took(setup.routers[1], 0.001)

    assert setup.order() == ["r0", "r1", "r2"]


def test_failures_in_a_row_begin_a_rest_and_an_answer_ends_them() -> None:
    """One failure may be chance; two in a row leave the router alone."""
    setup = Setup()
    near = setup.routers[0]

    setup.pool.failed(near)
    assert setup.order()[0] == "r0"
    setup.pool.answered(near)
    setup.pool.failed(near)
    assert setup.order()[0] == "r0"
    setup.pool.failed(near)
    assert setup.order() == ["r1", "r2", "r0"]


def test_a_rest_ends_with_one_probe_at_a_time() -> None:
    """When a health check says that it serves one call goes there, the others wait for its outcome."""
    setup = Setup()
    near = setup.routers[0]
    setup.pool.failed(near)
    setup.pool.failed(near)
    setup.clock.now_s += 1.0

    assert setup.order()[0] == "r1"
    setup.pool.prove(near, draining=False)
    assert setup.order()[0] == "r0"
    assert setup.pool.begin(near)
    assert setup.order()[0] == "r1"
    setup.pool.answered(near)
    setup.pool.end_probe(near)
    assert setup.order()[0] == "r0"


def test_a_frozen_router_is_not_probed_with_a_caller_s_time() -> None:
    """As long as no connection stands, a rest that is over changes nothing."""
    setup = Setup()
    near = setup.routers[0]
    setup.pool.failed(near)
    setup.pool.failed(near)
    setup.pool.prove(near, draining=False)
    setup.link(near).state = grpc.ChannelConnectivity.CONNECTING
    setup.clock.now_s += 100.0

    assert setup.order()[0] == "r1"
    setup.link(near).state = grpc.ChannelConnectivity.READY
    assert setup.order()[0] == "r0"


def test_failed_probes_rest_longer_up_to_the_bound_and_late_failures_do_not() -> None:
    """Rests double with each probe; calls that were already under way count once."""
    setup = Setup()
    near = setup.routers[0]
    for _ in range(10):
        setup.pool.failed(near)
    assert near.rest_until_s is not None
    assert near.rest_until_s - setup.clock.now_s <= 1.0

    rests = []
    for _ in range(6):
        setup.clock.now_s = near.rest_until_s
        setup.pool.prove(near, draining=False)
        setup.pool.failed(near)
        rests.append(near.rest_until_s - setup.clock.now_s)
    assert rests[0] <= 2.0
    assert rests[-1] >= 4.0
    assert max(rests) <= 8.0


def test_a_rest_is_told_once_and_answers_do_not_lengthen_it() -> None:
    """Whoever looks after routers hears of each rest, not of each failure in it."""
    setup = Setup()
    setup.fail(setup.routers[0], 5)

    assert setup.left == ["7001"]
    assert setup.pool.left(setup.routers[0])
    setup.pool.answered(setup.routers[0])
    assert not setup.pool.left(setup.routers[0])


def test_a_router_that_left_a_call_and_a_health_check_rests_at_once() -> None:
    """Silence to both is proof enough; it does not take a second call."""
    setup = Setup()
    setup.pool.suspend(setup.routers[0])

    assert setup.order() == ["r1", "r2", "r0"]
    assert setup.left == ["7001"]


def test_two_routers_of_a_region_in_a_row_take_the_region_out() -> None:
    """The third is not tried, although it has not failed yet."""
    setup = Setup("near", "near", "near", "far")
    setup.fail(setup.routers[0], 1)
    assert setup.ports() == ["7001", "7002", "7003", "7004"]
    setup.fail(setup.routers[1], 1)

    assert setup.ports()[0] == "7004"
    assert sorted(setup.left) == ["7001", "7002", "7003"]


def test_an_answer_between_two_failures_keeps_the_region() -> None:
    """What speaks is not lost: failures count in a row only, and regions without a name are none."""
    setup = Setup("near", "near", "near", "far")
    setup.fail(setup.routers[0], 1)
    setup.pool.answered(setup.routers[2])
    setup.fail(setup.routers[1], 1)
    assert setup.left == []

    nameless = Setup("", "", "")
    nameless.fail(nameless.routers[0], 1)
    nameless.fail(nameless.routers[1], 1)
    assert nameless.left == []


def test_a_draining_router_is_used_only_when_all_others_drain_or_fail() -> None:
    """It serves, so it goes before whatever does not; an answer without the word takes it back."""
    setup = Setup()
    near, second, far = setup.routers
    setup.pool.answered(near, Signals(0.1, draining=True))
    assert setup.order() == ["r1", "r2", "r0"]
    assert setup.left == ["7001"]

    setup.fail(far)
    setup.pool.answered(second, Signals(0.1, draining=True))
    assert setup.order() == ["r0", "r1", "r2"]

    setup.pool.answered(near, SILENT)
    assert near.draining
    setup.pool.answered(near, Signals(0.1))
    setup.pool.prove(second, draining=False)
    assert not setup.pool.left(near)
    assert not setup.pool.left(second)


def test_traffic_does_not_move_onto_a_busy_router() -> None:
    """One at its capacity is passed over where another is there; the nearest itself is asked and may say no."""
    setup = Setup()
    near, second, _ = setup.routers
    setup.pool.heard(second, Signals(0.97))
    setup.pool.heard(near, Signals(1.2))
    assert setup.order() == ["r0", "r2", "r1"]

    setup.clock.now_s += 60.0
    assert setup.order() == ["r0", "r1", "r2"]


def test_measurements_of_another_time_prove_nothing() -> None:
    """A router that was slow is not left for good: without new samples the order given holds again."""
    setup = Setup()
    for _ in range(5):
        setup.took(setup.routers[0], 0.9)
        setup.took(setup.routers[1], 0.1)
    assert setup.order()[0] == "r1"

    setup.clock.now_s += 20.0
    setup.took(setup.routers[1], 0.1)
    assert setup.order()[0] == "r0"


def test_an_overloaded_router_is_avoided_for_a_while() -> None:
    """The wish for less traffic is heard, and ends."""
    setup = Setup()
    setup.pool.avoid(setup.routers[0], 0.5)

    assert setup.order() == ["r1", "r2", "r0"]
    setup.clock.now_s += 0.6
    assert setup.order() == ["r0", "r1", "r2"]


def test_all_resting_routers_are_still_a_last_resort() -> None:
    """A client never refuses by itself: the nearest is tried even if all rest."""
    setup = Setup("r0", "r1")
    for router in setup.routers:
        setup.pool.failed(router)
        setup.pool.failed(router)

    assert setup.order() == ["r0", "r1"]


def test_doubled_and_too_many_addresses() -> None:
    """The same target counts once; the number of routers is bounded."""
    pool = RouterPool([RouterAddress("a", "h:1"), RouterAddress("b", "h:1")], ClientSettings(), connect=Setup().connect)
    assert len(pool.all()) == 1

    many = [RouterAddress("", f"h:{port}") for port in range(1, MAX_ROUTERS + 2)]
    with pytest.raises(ValueError, match="1 to 64"):
        RouterPool(many, ClientSettings(), connect=Setup().connect)
    with pytest.raises(ValueError, match="1 to 64"):
        RouterPool([], ClientSettings(), connect=Setup().connect)


@pytest.mark.parametrize("text", ["", "host", "host:", "host:port", ":7001", "host:0", "host:70000", "=host:1"])
def test_addresses_must_be_host_and_port(text: str) -> None:
    """A malformed address is refused where it is given."""
    with pytest.raises(ValueError, match="host:port"):
        RouterAddress.parse(text)


def test_addresses_may_name_their_region() -> None:
    """`region=host:port` is the text form of an address."""
    assert RouterAddress.parse("eu-west=127.0.0.1:7101") == RouterAddress("eu-west", "127.0.0.1:7101")
    assert RouterAddress.parse("127.0.0.1:7101") == RouterAddress("", "127.0.0.1:7101")
