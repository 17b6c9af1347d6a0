"""Heads and rollouts of policies: between their entries and the records in etcd.

A rollout in a state of a newer version is read as none, and stays in the record while nobody begins another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from google.protobuf import timestamp_pb2
from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

from trunkline.storage.v1 import map_records_pb2 as storage_pb
from trunkline_map.entries import HeadPointer, RolloutEntry, RolloutState

_NANOS: Final = 1_000_000_000

_STATE_OF_RECORD: Final = {
    storage_pb.ROLLOUT_STATE_RECORD_PROPOSED: RolloutState.PROPOSED,
    storage_pb.ROLLOUT_STATE_RECORD_SHADOW: RolloutState.SHADOW,
    storage_pb.ROLLOUT_STATE_RECORD_CANARY: RolloutState.CANARY,
}
_RECORD_OF_STATE: Final = {state: record for record, state in _STATE_OF_RECORD.items()}


def head_of(record: storage_pb.PolicyHeadRecord) -> HeadPointer:
    """Return the head that a record tells of."""
    return HeadPointer(
        policy_digest=record.policy_digest,
        digest=record.digest,
        size_bytes=record.size_bytes,
        space_id=record.space_id,
        model_id=record.model_id,
        model_revision=record.model_revision,
        basis_digest=record.basis_digest,
    )


def rollout_of(record: storage_pb.RolloutRecord) -> RolloutEntry | None:
    """Return the rollout that a record tells of; None for a state that only newer versions know."""
    state = _STATE_OF_RECORD.get(record.state)
    if state is None:
        return None
    return RolloutEntry(
        rollout_id=record.rollout_id,
        state=state,
        share=record.share,
        digest=record.digest,
        form_digest=record.form_digest,
        size_bytes=record.size_bytes,
        base_version=record.base_version,
        actor=record.actor,
        begin_time_s=_seconds(record.begin_time),
        change_time_s=_seconds(record.change_time),
        comment=record.comment,
        evaluation=tuple(sorted(record.evaluation.items())),
        heads=tuple(head_of(head) for head in record.heads),
    )


def write_heads(
    heads: Sequence[HeadPointer], into: RepeatedCompositeFieldContainer[storage_pb.PolicyHeadRecord]
) -> None:
    """Replace the heads of a record; what a newer version says of one that stays is kept."""
    before = {record.digest: record for record in into}
    after = []
    for head in heads:
        record = storage_pb.PolicyHeadRecord()
        if head.digest in before:
            record.CopyFrom(before[head.digest])
        _write_head(head, record)
        after.append(record)
    del into[:]
    into.extend(after)


def _write_head(head: HeadPointer, record: storage_pb.PolicyHeadRecord) -> None:
    record.policy_digest = head.policy_digest
    record.digest = head.digest
    record.size_bytes = head.size_bytes
    record.space_id = head.space_id
    record.model_id = head.model_id
    record.model_revision = head.model_revision
    record.basis_digest = head.basis_digest


def write_rollout(rollout: RolloutEntry | None, policy: storage_pb.PolicyRecord) -> None:
    """Write a policy's rollout into its record; None takes away one that this version can read."""
    if rollout is None:
        if policy.rollout.state in _STATE_OF_RECORD:
            policy.ClearField("rollout")
        return
    if policy.rollout.rollout_id != rollout.rollout_id:
        policy.ClearField("rollout")  # what a newer version said of another one is not of this one
    record = policy.rollout
    record.rollout_id = rollout.rollout_id
    record.state = _RECORD_OF_STATE[rollout.state]
    record.share = rollout.share
    record.digest = rollout.digest
    record.form_digest = rollout.form_digest
    record.size_bytes = rollout.size_bytes
    record.base_version = rollout.base_version
    record.actor = rollout.actor
    _write_seconds(rollout.begin_time_s, record.begin_time)
    _write_seconds(rollout.change_time_s, record.change_time)
    record.comment = rollout.comment
    record.evaluation.clear()
    record.evaluation.update(rollout.evaluation)
    write_heads(rollout.heads, record.heads)


def _seconds(stamp: timestamp_pb2.Timestamp) -> float:
    return stamp.seconds + stamp.nanos / _NANOS


def _write_seconds(seconds: float, stamp: timestamp_pb2.Timestamp) -> None:
    whole = int(seconds)
    carried, stamp.nanos = divmod(round((seconds - whole) * _NANOS), _NANOS)
    stamp.seconds = whole + carried
