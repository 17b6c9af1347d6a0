"""Between the messages of policies and entries of the map. Parsing checks every stated bound."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from trunkline.control.v1 import policy_service_pb2 as control_pb
from trunkline.storage.v1 import map_records_pb2 as storage_pb
from trunkline_map.blob import MAX_BLOB_BYTES
from trunkline_map.entries import HeadPointer, RolloutEntry, RolloutState
from trunkline_policy.limits import MAX_POLICY_BYTES
from trunkline_routing.control.fields import Fields
from trunkline_routing.control.policies import StoredPolicy
from trunkline_routing.control.rollouts import RolloutWish

MAX_VERSIONS_PAGE: Final = 1_000
MAX_ROLLOUT_COMMENT_BYTES: Final = 512
MAX_FIGURES: Final = 16

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_FIGURE: Final = re.compile(r"[a-z0-9_.-]{1,63}")
_ROLLOUT_ID: Final = re.compile(r"[0-9a-f]{16}")
_STATE_OF_MESSAGE: Final = {
    control_pb.ROLLOUT_STATE_PROPOSED: RolloutState.PROPOSED,
    control_pb.ROLLOUT_STATE_SHADOW: RolloutState.SHADOW,
    control_pb.ROLLOUT_STATE_CANARY: RolloutState.CANARY,
}
_MESSAGE_OF_STATE: Final = {state: message for message, state in _STATE_OF_MESSAGE.items()}


def parse_policy_text(field: str, yaml: str) -> str:
    """Return a policy's text if its size is allowed; raise FieldInvalid. What it says is checked by the use case."""
    fields = Fields()
    fields.require(bool(yaml.strip()), field, "must not be empty")
    fields.utf8(field, yaml, MAX_POLICY_BYTES)
    fields.check()
    return yaml


def parse_version(value: int, *, least: int) -> int:
    """Return the number of a version; raise FieldInvalid."""
    fields = Fields()
    fields.require(value >= least, "version", f"must be at least {least}")
    fields.check()
    return value


def parse_head(message: control_pb.PolicyHead) -> HeadPointer:
    """Return the head; raise FieldInvalid."""
    fields = Fields("head.")
    for field in ("policy_digest", "digest", "basis_digest"):
        holds = bool(_DIGEST.fullmatch(getattr(message, field)))
        fields.require(holds, field, "must be 64 hexadecimal digits, in lower case")
    fields.between("size_bytes", message.size_bytes, 1, MAX_BLOB_BYTES)
    fields.name("space_id", message.space_id)
    fields.model("model_id", message.model_id)
    fields.model("model_revision", message.model_revision)
    fields.check()
    return HeadPointer(
        policy_digest=message.policy_digest,
        digest=message.digest,
        size_bytes=message.size_bytes,
        space_id=message.space_id,
        model_id=message.model_id,
        model_revision=message.model_revision,
        basis_digest=message.basis_digest,
    )


def parse_rollout_id(field: str, value: str) -> str:
    """Return a rollout's id; raise FieldInvalid for what is none."""
    fields = Fields()
    fields.require(bool(_ROLLOUT_ID.fullmatch(value)), field, "must be 16 hexadecimal digits")
    fields.check()
    return value


def parse_rollout(message: control_pb.Rollout) -> RolloutWish:
    """Return what is wanted of a rollout; what the server sets is ignored. Raises FieldInvalid."""
    fields = Fields("rollout.")
    known = not message.rollout_id or bool(_ROLLOUT_ID.fullmatch(message.rollout_id))
    fields.require(known, "rollout_id", "must be 16 hexadecimal digits, or empty to begin one")
    fields.require(message.state in _STATE_OF_MESSAGE, "state", "must be PROPOSED, SHADOW or CANARY")
    fields.require(0 <= message.share <= 1, "share", "must be 0 to 1")
    fields.utf8("comment", message.comment, MAX_ROLLOUT_COMMENT_BYTES)
    _check_figures(fields, message.evaluation)
    fields.check()
    return RolloutWish(
        rollout_id=message.rollout_id,
        state=_STATE_OF_MESSAGE[message.state],
        share=message.share,
        comment=message.comment,
        evaluation=tuple(sorted(message.evaluation.items())),
    )


def _check_figures(fields: Fields, evaluation: Mapping[str, float]) -> None:
    fields.size("evaluation", len(evaluation), 0, MAX_FIGURES)
    named = all(_FIGURE.fullmatch(name) for name in evaluation)
    fields.require(named, "evaluation", "must have names of 1 to 63 characters of a-z, 0-9, _, . and -")
    fields.require(all(map(math.isfinite, evaluation.values())), "evaluation", "must have finite figures")


def render_policy(stored: StoredPolicy) -> control_pb.Policy:
    """Return the message."""
    rollout = stored.pointer.rollout
    return control_pb.Policy(
        tenant_id=stored.pointer.tenant_id,
        yaml=stored.yaml,
        version=stored.version,
        digest=stored.digest,
        revision=stored.pointer.revision,
        heads=[_render_head(head) for head in stored.heads],
        rollout=None if rollout is None else render_rollout(rollout),
    )


def render_rollout(rollout: RolloutEntry) -> control_pb.Rollout:
    """Return the message."""
    message = control_pb.Rollout(
        rollout_id=rollout.rollout_id,
        state=_MESSAGE_OF_STATE[rollout.state],
        share=rollout.share,
        digest=rollout.digest,
        base_version=rollout.base_version,
        actor=rollout.actor,
        comment=rollout.comment,
        evaluation=dict(rollout.evaluation),
    )
    message.begin_time.FromMicroseconds(round(rollout.begin_time_s * 1e6))
    message.change_time.FromMicroseconds(round(rollout.change_time_s * 1e6))
    return message


def render_version(record: storage_pb.PolicyVersionRecord) -> control_pb.PolicyVersion:
    """Return the message."""
    return control_pb.PolicyVersion(
        version=record.version,
        digest=record.digest,
        change_time=record.change_time if record.HasField("change_time") else None,
        actor=record.actor,
        comment=record.comment,
        restored_version=record.restored_version,
    )


def _render_head(head: HeadPointer) -> control_pb.PolicyHead:
    return control_pb.PolicyHead(
        policy_digest=head.policy_digest,
        digest=head.digest,
        size_bytes=head.size_bytes,
        space_id=head.space_id,
        model_id=head.model_id,
        model_revision=head.model_revision,
        basis_digest=head.basis_digest,
    )
