"""Bounds of what callers say of policies, heads and rollouts, at their edge and beyond."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trunkline.control.v1 import policy_service_pb2 as control_pb
from trunkline_map.blob import MAX_BLOB_BYTES
from trunkline_map.entries import HeadPointer, PolicyPointer, RolloutEntry, RolloutState
from trunkline_mesh.errors import FieldInvalid
from trunkline_policy.limits import MAX_POLICY_BYTES
from trunkline_routing.control.policies import StoredPolicy
from trunkline_routing.control.policy_messages import (
    parse_head,
    parse_policy_text,
    parse_rollout,
    parse_rollout_id,
    parse_version,
    render_policy,
)

DIGEST = "0" * 64


def head(**changes: Any) -> control_pb.PolicyHead:
    fields: dict[str, Any] = {
        "policy_digest": DIGEST,
        "digest": DIGEST,
        "size_bytes": 1,
        "space_id": "minilm",
        "model_id": "minilm",
        "model_revision": "1",
        "basis_digest": DIGEST,
    }
    return control_pb.PolicyHead(**(fields | changes))


def rollout(**changes: Any) -> control_pb.Rollout:
    fields: dict[str, Any] = {"state": control_pb.ROLLOUT_STATE_SHADOW, "share": 0.1}
    return control_pb.Rollout(**(fields | changes))


@pytest.mark.parametrize("text", ["", "  \n", "x" * (MAX_POLICY_BYTES + 1), "é" * (MAX_POLICY_BYTES // 2 + 1)])
def test_a_policys_size_is_bounded_in_bytes(text: str) -> None:
    """Neither nothing nor too much reaches the parser; the field is named."""
    with pytest.raises(FieldInvalid) as error:
        parse_policy_text("policy.yaml", text)

    assert error.value.violations[0].field == "policy.yaml"
    assert parse_policy_text("yaml", "x" * MAX_POLICY_BYTES)


@pytest.mark.parametrize(
    "changes",
    [
        {"policy_digest": ""},
        {"digest": "F" * 64},
        {"basis_digest": "../" + "0" * 61},
        {"size_bytes": 0},
        {"size_bytes": MAX_BLOB_BYTES + 1},
        {"space_id": "a b"},
        {"model_id": ""},
        {"model_revision": "x" * 129},
    ],
)
def test_a_head_is_bounded(changes: dict[str, Any]) -> None:
    """What it names may become a path; its size is a blob's."""
    with pytest.raises(FieldInvalid) as error:
        parse_head(head(**changes))

    assert [violation.field for violation in error.value.violations] == [f"head.{name}" for name in changes]
    assert parse_head(head(size_bytes=MAX_BLOB_BYTES)).size_bytes == MAX_BLOB_BYTES


@pytest.mark.parametrize(
    "changes",
    [
        {"rollout_id": "r"},
        {"state": control_pb.ROLLOUT_STATE_UNSPECIFIED},
        {"state": 99},
        {"share": -0.01},
        {"share": 1.01},
        {"share": math.nan},
        {"comment": "x" * 513},
        {"evaluation": {f"f{number}": 1.0 for number in range(17)}},
        {"evaluation": {"live_success": math.inf}},
        {"evaluation": {"Live success": 1.0}},
    ],
)
def test_a_rollout_is_bounded(changes: dict[str, Any]) -> None:
    """Its share, its words and its figures; a state that is none is told."""
    with pytest.raises(FieldInvalid) as error:
        parse_rollout(rollout(**changes))

    assert [violation.field for violation in error.value.violations] == [f"rollout.{name}" for name in changes]


def test_a_rollout_at_its_bounds_is_read() -> None:
    """What the server sets is ignored."""
    figures = {f"f{number}": float(number) for number in range(16)}

    wish = parse_rollout(rollout(share=1.0, comment="x" * 512, evaluation=figures, base_version=7, actor="mallory"))

    assert (wish.rollout_id, wish.state, wish.share) == ("", RolloutState.SHADOW, 1.0)
    assert dict(wish.evaluation) == figures


def test_ids_and_versions_are_bounded() -> None:
    """An id is the server's own; a version is a number that counts."""
    assert parse_rollout_id("rollout_id", "0123456789abcdef") == "0123456789abcdef"
    assert parse_version(0, least=0) == 0
    for text in ("", "0123456789ABCDEF", "0123456789abcdef0"):
        with pytest.raises(FieldInvalid):
            parse_rollout_id("rollout_id", text)
    for version, least in ((-1, 0), (0, 1)):
        with pytest.raises(FieldInvalid):
            parse_version(version, least=least)


def test_a_policy_is_told_with_its_heads_and_its_rollout() -> None:
    """Times to the microsecond."""
    noted = parse_head(head())
    assert noted == HeadPointer(DIGEST, DIGEST, 1, "minilm", "minilm", "1", DIGEST)
    shadow = RolloutEntry(
        "0123456789abcdef", RolloutState.CANARY, 0.5, "1" * 64, "2" * 64, 9, 3, "anna", 1.5, 1_700_000_000.125, "why"
    )
    pointer = PolicyPointer("acme", 3, DIGEST, frozenset({"eu"}), 5, "3" * 64, (noted,), shadow, revision=8)

    told = render_policy(StoredPolicy(pointer, "text", b"t", 3, DIGEST, pointer.heads))

    assert (told.tenant_id, told.yaml, told.version, told.digest, told.revision) == ("acme", "text", 3, DIGEST, 8)
    assert list(told.heads) == [head()]
    assert (told.rollout.state, told.rollout.share) == (control_pb.ROLLOUT_STATE_CANARY, 0.5)
    assert told.rollout.begin_time.ToMicroseconds() == 1_500_000
    assert told.rollout.change_time.ToMicroseconds() == 1_700_000_000_125_000
