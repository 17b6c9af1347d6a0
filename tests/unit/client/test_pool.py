"""Which router is asked first."""

from __future__ import annotations

import random
from typing import cast

import grpc
import pytest

from trunkline_client.pool import MAX_ROUTERS, RouterPool
from trunkline_client.router import Router, RouterAddress
from trunkline_client.settings import ClientSettings


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
    def __init__(self, count: int = 3) -> None:
        self.clock = Clock()
        self.pool = RouterPool(
            [RouterAddress(f"r{index}", f"127.0.0.1:{7001 + index}") for index in range(count)],
            ClientSettings(rest_s=1.0, max_rest_s=8.0, failures_to_rest=2),
            clock=self.clock,
            rng=random.Random(7),
            connect=self.connect,
        )
        self.routers = list(self.pool.all())

    def connect(self, target: str) -> grpc.aio.Channel:
        return cast(grpc.aio.Channel, Link())

    def order(self) -> list[str]:
        return [router.address.region for router in self.pool.ordered("Search")]

    def link(self, router: Router) -> Link:
        return cast(Link, router.channel)


def test_the_order_given_holds_without_measurements() -> None:
    """The owner's idea of near comes first."""
    assert Setup().order() == ["r0", "r1", "r2"]


def test_a_clearly_quicker_router_goes_first_and_a_slightly_quicker_one_does_not() -> None:
    """Half the time is a reason to change, a wobble is none."""
    setup = Setup()
    for _ in range(5):
        setup.routers[0].latency("Search").record(0.100)
        setup.routers[1].latency("Search").record(0.080)
        setup.routers[2].latency("Search").record(0.020)

    assert setup.order() == ["r2", "r0", "r1"]


def test_few_samples_prove_nothing() -> None:
    """One lucky answer does not move the traffic."""
    setup = Setup()
    setup.routers[0].latency("Search").record(0.100)
    setup.routers[1].latency("Search").record(0.001)

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
    """When the rest is over one call goes there, the others wait for its outcome."""
    setup = Setup()
    near = setup.routers[0]
    setup.pool.failed(near)
    setup.pool.failed(near)
    setup.clock.now_s += 1.0

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
        setup.pool.failed(near)
        rests.append(near.rest_until_s - setup.clock.now_s)
    assert rests[0] <= 2.0
    assert rests[-1] >= 4.0
    assert max(rests) <= 8.0


def test_an_overloaded_router_is_avoided_for_a_while() -> None:
    """The wish for less traffic is heard, and ends."""
    setup = Setup()
    setup.pool.avoid(setup.routers[0], 0.5)

    assert setup.order() == ["r1", "r2", "r0"]
    setup.clock.now_s += 0.6
    assert setup.order() == ["r0", "r1", "r2"]


def test_all_resting_routers_are_still_a_last_resort() -> None:
    """A client never refuses by itself: the nearest is tried even if all rest."""
    setup = Setup(2)
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
