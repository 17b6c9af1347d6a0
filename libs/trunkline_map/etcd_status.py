"""What one member of etcd says of itself."""

from __future__ import annotations

from operator import attrgetter
from typing import Final

from aetcd import rpc

from trunkline_map.etcd_calls import EtcdCaller
from trunkline_map.etcd_members import Member
from trunkline_map.store import MemberStatus, StoreError

_STATUS: Final = attrgetter("maintenance.Status")


async def member_status(caller: EtcdCaller, member: Member, *, timeout_s: float) -> MemberStatus:
    """Ask one member, within `timeout_s`. Never raises for one that does not answer."""
    try:
        answer = await caller.ask(member, _STATUS, rpc.StatusRequest(), timeout_s=timeout_s)
    except StoreError:
        return MemberStatus(member.endpoint, reachable=False)
    return MemberStatus(
        endpoint=member.endpoint,
        reachable=True,
        leader=answer.leader != 0 and answer.leader == answer.header.member_id,
        has_leader=answer.leader != 0,
        version=str(answer.version),
        revision=int(answer.header.revision),
        db_size_bytes=int(answer.dbSize),
        db_used_bytes=int(answer.dbSizeInUse),
        alarms=tuple(answer.errors),
    )
