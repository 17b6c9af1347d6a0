"""What one line of the audit log tells of a change."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict

from trunkline_map import token
from trunkline_map.entries import Entry, EpochEntry, PolicyPointer
from trunkline_mesh.errors import MapTokenInvalid
from trunkline_routing.control.change_lists import ChangeOfEntry, token_of
from trunkline_routing.control.messages import render_entry

Identity = tuple[int, str, str, str]
"""Revision, entry, time and request id."""


def line_fields(change: ChangeOfEntry, epoch: bytes) -> dict[str, Any]:
    """Return the line's fields, but for the hash of the line before."""
    record = change.record
    return {
        "time": record.change_time.ToJsonString(),
        "revision": change.revision,
        "entry": change.key.path,
        "actor": record.actor,
        "roles": list(record.roles),
        "request_id": record.request_id,
        "method": record.method,
        "comment": record.comment,
        "urgent": record.urgent,
        "approval_id": record.approval_id,
        "approver": record.approver,
        "before": _told(change.before, record.before),
        "after": _told(change.after, record.after),
        "token": base64.b64encode(token_of(change, epoch)).decode(),
    }


def identity(fields: Mapping[str, Any]) -> Identity:
    """Return what no two changes share, also where a restored store gives out revisions a second time.

    Raises KeyError for fields that are none of a line.
    """
    return fields["revision"], fields["entry"], fields["time"], fields["request_id"]


def epoch_of(token_text: str) -> bytes:
    """Return the epoch of a line's token; empty for one that is none."""
    try:
        return token.decode(base64.b64decode(token_text)).epoch
    except (ValueError, MapTokenInvalid):
        return b""


def _told(entry: Entry | None, raw: bytes) -> Any:
    """Return an entry as JSON: as the contract shows it, or its bytes if it cannot be read; None if there is none."""
    if not raw:
        return None
    if isinstance(entry, EpochEntry):
        return {"epoch": {"epoch": entry.epoch.hex()}}
    if isinstance(entry, PolicyPointer):
        return {"policy": _policy_told(entry)}
    message = None if entry is None else render_entry(entry)
    if message is None:
        return {"unreadable": base64.b64encode(raw).decode()}
    return MessageToDict(message, preserving_proto_field_name=True)


def _policy_told(entry: PolicyPointer) -> dict[str, Any]:
    """Return a policy's pointer as JSON: digests, never texts."""
    told: dict[str, Any] = {
        "tenant_id": entry.tenant_id,
        "version": entry.version,
        "digest": entry.digest,
        "jurisdictions": sorted(entry.jurisdictions),
        "heads": [head.digest for head in entry.heads],
    }
    if entry.rollout is not None:
        told["rollout"] = {
            "rollout_id": entry.rollout.rollout_id,
            "state": entry.rollout.state.value,
            "share": entry.rollout.share,
            "digest": entry.rollout.digest,
            "heads": [head.digest for head in entry.rollout.heads],
        }
    return told
