"""Which member is asked next."""

from __future__ import annotations

from typing import Any, cast

import grpc

from trunkline_map.etcd_members import SHUN_S, Member, MemberRing


class Channel:
    """Plays a connection that is up or not; only its state is asked for."""

    def __init__(self, *, up: bool) -> None:
        self.up = up

    def get_state(self, *, try_to_connect: bool) -> grpc.ChannelConnectivity:
        assert try_to_connect, "a member that is down must be tried again"
        return grpc.ChannelConnectivity.READY if self.up else grpc.ChannelConnectivity.TRANSIENT_FAILURE

    def unary_unary(self, *_: object, **__: object) -> None:
        return

    unary_stream = stream_stream = unary_unary


class ManualClock:
    """Time that a test moves."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def ring(*up: bool, clock: ManualClock | None = None) -> MemberRing:
    members = [Member(f"m{index}:1", cast("Any", Channel(up=each))) for index, each in enumerate(up)]
    return MemberRing(members, clock=clock or ManualClock())


def picks(members: MemberRing, count: int) -> set[str]:
    return {members.pick().endpoint for _ in range(count)}


def test_members_that_are_up_are_used_in_turn() -> None:
    """Nobody carries everything, and nobody is asked who is down."""
    assert picks(ring(True, True, True), 3) == {"m0:1", "m1:1", "m2:1"}
    assert picks(ring(True, False, True), 6) == {"m0:1", "m2:1"}


def test_a_member_that_failed_is_left_out_for_a_while() -> None:
    """Although its connection is up: a frozen one looks like that."""
    clock = ManualClock()
    members = ring(True, True, clock=clock)
    members.shun(members.members[0])

    assert picks(members, 4) == {"m1:1"}
    clock.now_s += SHUN_S
    assert picks(members, 4) == {"m0:1", "m1:1"}


def test_there_is_always_one_to_ask() -> None:
    """When all are down or failed, they are tried in turn."""
    members = ring(False, False)
    for member in members.members:
        members.shun(member)

    assert picks(members, 4) == {"m0:1", "m1:1"}


def test_one_call_asks_each_member_once_before_it_repeats() -> None:
    """Also a shunned one, before the one that just failed this very call."""
    members = ring(True, True, False)
    members.shun(members.members[1])
    tried: list[Member] = []
    for _ in range(3):
        tried.append(members.pick(tried))

    assert [member.endpoint for member in tried] == ["m0:1", "m2:1", "m1:1"]
