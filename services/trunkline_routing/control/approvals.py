"""Changes that wait for a second person: asked for by one operator, decided by another, used once.

An approval lives for an hour by the wall clock, is bound to the exact request, and is used up in the transaction of the
change, so it can never be used twice. Source of time is the control role's clock; several of them may differ a little.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

from google.protobuf.message import DecodeError

from trunkline.storage.v1 import map_records_pb2 as storage_pb
from trunkline_map.keys import APPROVALS, approval_key
from trunkline_map.store import KeyValue, StoreUnavailableError, Transaction, Unchanged
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import ApprovalInvalid, ApprovalRequired, MethodNotAllowed, Overloaded, RevisionConflict
from trunkline_routing.control.errors import unreachable
from trunkline_routing.control.how import Approved, How
from trunkline_routing.control.map_store import MAX_ATTEMPTS, MapStore, call_timeout_s
from trunkline_routing.control.two_persons import SecondPersonNeeded

LIFE_S: Final = 3600.0
"""From when it was asked for until it is worth nothing."""

MAX_APPROVALS: Final = 100
"""Pending and unused ones together."""

_MAX_SWEPT: Final = 50
"""Expired ones removed by one transaction."""

_T = TypeVar("_T")


class Filed(NamedTuple):
    """An approval as it lies in the store."""

    record: storage_pb.ApprovalRecord
    key: bytes
    revision: int

    def expired(self, now_s: float) -> bool:
        """Return True if it is worth nothing any more."""
        return self.record.expire_time.ToNanoseconds() <= now_s * 1e9


class Approvals:
    """Approvals of changes. All methods raise MapUnwritable and DeadlineExceeded."""

    def __init__(self, maps: MapStore) -> None:
        """Keep them beside `maps`."""
        self._maps = maps

    async def guarded(self, how: How, digest: bytes, work: Callable[[How], Awaitable[_T]], deadline: Deadline) -> _T:
        """Return what `work` returns, given the approval that `how` names, if any.

        Raises what `work` raises; ApprovalInvalid for an approval that is not valid for the request of this `digest`;
        and, where `work` needs one and has none, ApprovalRequired with the id under which it waits now.
        """
        if how.approval_id:
            how = replace(how, approved=await self._approved(how, digest, deadline))
        try:
            return await work(how)
        except SecondPersonNeeded as needed:
            approval_id = await self._file(how, digest, needed.summary, deadline)
            raise ApprovalRequired(metadata={"approvalId": approval_id}) from needed

    async def listed(self, deadline: Deadline) -> Sequence[storage_pb.ApprovalRecord]:
        """Return those that are pending, or given and not used, oldest first."""
        filed, _ = await self._all(deadline)
        alive = [each.record for each in filed if not each.expired(self._maps.now())]
        return sorted(alive, key=lambda record: (record.create_time.ToNanoseconds(), record.approval_id))

    async def approve(self, approval_id: str, decider: str, deadline: Deadline) -> storage_pb.ApprovalRecord:
        """Approve a change as `decider`; a second time changes nothing.

        Raises ApprovalInvalid for one that is not pending, and MethodNotAllowed for the one who asked for it.
        """
        filed = await self._find(approval_id, deadline)
        if filed.record.requester == decider:
            raise MethodNotAllowed("a second person must approve: you asked for this change yourself")
        if filed.record.approved:
            if filed.record.decider != decider:
                raise ApprovalInvalid("somebody else has approved it already")
            return filed.record
        record = storage_pb.ApprovalRecord()
        record.CopyFrom(filed.record)
        record.decider, record.approved = decider, True
        record.decide_time.FromNanoseconds(int(self._maps.now() * 1e9))
        await self._replace(filed, {filed.key: record.SerializeToString()}, deadline)
        return record

    async def reject(self, approval_id: str, decider: str, deadline: Deadline) -> storage_pb.ApprovalRecord:
        """Reject a change, or take it back, approved or not; return it as it was left. Raises ApprovalInvalid."""
        filed = await self._find(approval_id, deadline)
        await self._replace(filed, {}, deadline)
        record = storage_pb.ApprovalRecord()
        record.CopyFrom(filed.record)
        record.decider, record.approved = decider, False
        return record

    async def _approved(self, how: How, digest: bytes, deadline: Deadline) -> Approved:
        filed = await self._find(how.approval_id, deadline)
        record = filed.record
        if (record.requester, record.request_digest) != (how.actor, digest):
            raise ApprovalInvalid("the approval is for another change, or for somebody else's")
        if not record.approved:
            raise ApprovalInvalid("nobody has approved the change yet")
        return Approved(how.approval_id, record.decider, filed.key, filed.revision)

    async def _find(self, approval_id: str, deadline: Deadline) -> Filed:
        key = approval_key(approval_id)
        state = await self._maps.read_live((), deadline, control_keys=[key])
        item = state.raw.get(key)
        filed = None if item is None else _read(item)
        if filed is None or filed.expired(self._maps.now()):
            raise ApprovalInvalid("there is no such approval, or it was used or has expired")
        return filed

    async def _file(self, how: How, digest: bytes, summary: str, deadline: Deadline) -> str:
        """Let the change wait; return the id of what waits already if it was asked for before."""
        for _ in range(MAX_ATTEMPTS):
            filed, folder = await self._all(deadline)
            now_s = self._maps.now()
            alive = [each for each in filed if not each.expired(now_s)]
            for each in alive:
                if (each.record.requester, each.record.request_digest) == (how.actor, digest):
                    return each.record.approval_id
            if len(alive) >= MAX_APPROVALS:
                raise Overloaded(f"{MAX_APPROVALS} approvals are waiting; decide some of them first")
            record = _new_record(how, digest, summary, now_s)
            swept = [each for each in filed if each.expired(now_s)][:_MAX_SWEPT]
            transaction = Transaction(
                compares={approval_key(record.approval_id): 0},
                unchanged=[folder],
                puts={approval_key(record.approval_id): record.SerializeToString()},
                deletes=[each.key for each in swept],
            )
            if (await self._maps.kv.commit(transaction, timeout_s=call_timeout_s(deadline))).applied:
                return record.approval_id
        raise RevisionConflict("approvals are changing; try again")

    async def _all(self, deadline: Deadline) -> tuple[list[Filed], Unchanged]:
        """Return all approvals, expired ones among them, and the condition that none was put since."""
        try:
            page = await self._maps.kv.list_page(APPROVALS, timeout_s=call_timeout_s(deadline))
        except StoreUnavailableError as exc:
            raise unreachable() from exc
        filed = [each for item in page.items if (each := _read(item)) is not None]
        return filed, Unchanged(APPROVALS, page.revision)

    async def _replace(self, filed: Filed, puts: dict[bytes, bytes], deadline: Deadline) -> None:
        """Put, or remove where nothing is put, what lies there as it was read; raise ApprovalInvalid if it changed."""
        deletes = [] if puts else [filed.key]
        transaction = Transaction(compares={filed.key: filed.revision}, puts=puts, deletes=deletes)
        if not (await self._maps.kv.commit(transaction, timeout_s=call_timeout_s(deadline))).applied:
            raise ApprovalInvalid("somebody else has decided, or it was used, at the same moment")


def _new_record(how: How, digest: bytes, summary: str, now_s: float) -> storage_pb.ApprovalRecord:
    record = storage_pb.ApprovalRecord(
        approval_id=secrets.token_hex(16),
        requester=how.actor,
        method=how.method,
        request_digest=digest,
        summary=summary,
        comment=how.comment,
    )
    record.create_time.FromNanoseconds(int(now_s * 1e9))
    record.expire_time.FromNanoseconds(int((now_s + LIFE_S) * 1e9))
    return record


def _read(item: KeyValue) -> Filed | None:
    try:
        return Filed(storage_pb.ApprovalRecord.FromString(item.value), item.key, item.mod_revision)
    except DecodeError:
        return None
