"""The account of refusals: what the control role refused, to whom and why, in files that nobody alters unseen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.control.caller import Refused
from tests.integration.control.conftest import Control, serving
from tests.integration.control.entries import furnish, policy, region, tenant
from tests.integration.map.etcd_server import EtcdServer
from tests.integration.mesh.caller import eventually
from tests.integration.mesh.credentials import Issuer

from trunkline.control.v1 import tenant_service_pb2 as tenant_pb
from trunkline_map import audit
from trunkline_mesh.background import background
from trunkline_routing.control.refusal_writer import RefusalWriter

SECRET = "a-sentence-that-no-audit-may-hold"


@pytest.fixture
async def audited(etcd: EtcdServer, issuer: Issuer, tmp_path: Path) -> AsyncIterator[tuple[Control, Path]]:
    """A control role with its account of refusals."""
    await etcd.clear()
    folder = tmp_path / "refusals"
    writer = RefusalWriter(folder, 1 << 20, lambda: 7)
    async with background(writer.run()), serving(etcd, issuer, tmp_path / "blobs", note=writer.note) as control:
        await furnish(control.operator)
        yield control, folder / "writer-1"


def told_in(folder: Path) -> list[dict[str, Any]]:
    return [*audit.read(folder)] if folder.is_dir() else []


async def lines_of(folder: Path, count: int) -> list[dict[str, Any]]:
    """Wait until there are so many lines; return them."""
    await eventually(lambda: len(told_in(folder)) >= count)
    return told_in(folder)


async def refused(call: Any) -> None:
    with pytest.raises(Refused):
        await call


async def test_refusals_are_told_with_who_what_and_why(audited: tuple[Control, Path]) -> None:
    """Names and reasons, never a content; what was done, or only looked for, is not among them."""
    control, folder = audited
    op, admin = control.operator, control.caller(tenant="acme", roles=["admin"], sub="anna")
    bad = tenant("acme", "eu", limits={"requests_per_day": -1})
    bad.options.comment = "more"
    bad.options.dry_run = True

    await refused(op(op.tenants.PutTenant, bad))
    await refused(op(op.regions.PutRegion, region("eu-west", "eu")))
    await refused(admin(admin.policies.PutPolicy, policy("acme", f"! {SECRET}")))
    await refused(admin(admin.tenants.GetTenant, tenant_pb.GetTenantRequest(tenant_id="other")))
    await refused(op(op.tenants.GetTenant, tenant_pb.GetTenantRequest(tenant_id="nobody")))
    await op(op.tenants.PutTenant, tenant("second", "eu"))
    limits, overtaken, content, foreign = await lines_of(folder, 4)

    assert (limits["reason"], limits["entry"], limits["fields"]) == (
        "FIELD_INVALID", "acme", ["tenant.limits.requests_per_day"],
    )  # fmt: skip
    assert (limits["comment"], limits["dry_run"], limits["revision"]) == ("more", True, 7)
    assert limits["method"] == "/trunkline.control.v1.TenantService/PutTenant"
    assert (overtaken["reason"], overtaken["entry"]) == ("REVISION_CONFLICT", "eu-west")
    assert (content["actor"], content["roles"], content["tenant"]) == ("anna", ["admin"], "acme")
    assert (foreign["reason"], foreign["entry"]) == ("TENANT_MISMATCH", "other")
    assert not any(SECRET in json.dumps(line) for line in (limits, overtaken, content, foreign))
    assert audit.verify(folder).whole


async def test_what_was_refused_last_is_written_when_the_role_ends(tmp_path: Path) -> None:
    """And a second writer of the folder has a part of its own."""
    first, second = (RefusalWriter(tmp_path, 1 << 20, lambda: 0) for _ in range(2))
    async with background(first.run()):
        first.note({"entry": "a"})
        await lines_of(tmp_path / "writer-1", 1)
        async with background(second.run()):
            second.note({"entry": "b"})
            await lines_of(tmp_path / "writer-2", 1)
        first.note({"entry": "c"})

    assert [line["entry"] for line in audit.read(tmp_path / "writer-1")] == ["a", "c"]


async def test_a_flood_is_bounded_in_memory_and_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What did not fit is counted in a later line; the oldest files go, and the chain of the others is whole."""
    monkeypatch.setattr("trunkline_routing.control.refusal_writer.KEPT_FILES", 2)
    monkeypatch.setattr("trunkline_routing.control.refusal_writer.MAX_WAITING", 5)
    writer = RefusalWriter(tmp_path, 200, lambda: 0)
    folder = tmp_path / "writer-1"
    async with background(writer.run()):
        for _ in range(8):
            writer.note({"entry": "flood"})
        await eventually(lambda: not writer.waiting)
        flood = told_in(folder)
        for number in range(5):
            writer.note({"entry": str(number)})
            await eventually(lambda: not writer.waiting)
        told = [*audit.read(folder)]

    assert [line["left_out"] for line in flood] == [0] * 5
    assert told[-1]["entry"] == "4"
    assert sum(line["left_out"] for line in told) in (0, 3)  # the line that told it may be gone with its file
    assert len(audit.files_of(folder)) == 2
    assert audit.verify(folder).whole


async def test_a_disk_that_fails_is_tried_again(tmp_path: Path) -> None:
    """What was refused meanwhile waits in memory."""
    blocked = tmp_path / "refusals"
    blocked.write_text("in the way")
    writer = RefusalWriter(blocked, 1 << 20, lambda: 0)
    async with background(writer.run()):
        writer.note({"entry": "kept"})
        await asyncio.sleep(0.1)
        blocked.unlink()
        (line,) = await lines_of(blocked / "writer-1", 1)

    assert line["entry"] == "kept"
