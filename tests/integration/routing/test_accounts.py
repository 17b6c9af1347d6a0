"""What stays on disk of searches and writes: usage that is billed, and who searched what, without any text."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.routing.conftest import OpenFrontDoor
from tests.integration.routing.front_door import EU, TENANT

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_mesh.errors import QuotaExhausted
from trunkline_usage.records import UsageRecord, record_of
from trunkline_usage.search_lines import SearchLine, search_line_of
from trunkline_usage.segments import segments_of, whole_lines

SECRET = "the merger with Globex"


def lines_of(root: Path, name: str) -> list[bytes]:
    """Return the lines of a log without its files' headers, as they lie on the disk now."""
    folders = [folder for folder in root.iterdir() if folder.is_dir()]
    segments = [segment for folder in folders for segment in segments_of(folder, name)]
    return [line for segment in segments for _, line in list(whole_lines(segment.path, 0, 1 << 20))[1:]]


def usage(root: Path) -> list[UsageRecord]:
    return [record_of(line).record for line in lines_of(root, "usage")]


def searches(root: Path) -> list[SearchLine]:
    return [search_line_of(line) for line in lines_of(root, "searches")]


def everything(root: Path) -> bytes:
    """Return all that lies below a folder."""
    return b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())


async def test_the_record_lies_on_the_disk_before_the_answer_leaves(fresh: OpenFrontDoor, tmp_path: Path) -> None:
    """With the same figures; a refusal leaves none."""
    door = await fresh(usage_dir=tmp_path / "usage")
    found = await door.search(metadata=(("trunkline-request-id", "search-1"),))
    [record] = usage(tmp_path / "usage")
    cost = found.response.trail.cost
    assert (record.request_id, record.tenant_id, record.region, record.outcome) == ("search-1", TENANT, EU, "ok")
    assert sum(one.tokens for one in record.stages) == cost.charged_tokens
    assert sum(one.cost_micros for one in record.stages) == cost.charged_micros
    document = document_pb.Document(document_id="d1", text="text")
    written = await door.call("Upsert", routing_pb.UpsertRequest(collection="both", documents=[document]))
    assert written.response is not None
    assert [one.kind for one in usage(tmp_path / "usage")] == ["search", "write"]
    door.quota.failing = QuotaExhausted(retry_delay_s=1.0)
    assert (await door.search()).reason == "QUOTA_EXHAUSTED"
    assert len(usage(tmp_path / "usage")) == 2


async def test_every_search_is_noted_and_no_text_is(fresh: OpenFrontDoor, tmp_path: Path) -> None:
    """Allowed or refused, and wherever a caller puts its words; the same question has the same hash."""
    root = tmp_path / "searches"
    door = await fresh(search_audit_dir=root, usage_dir=tmp_path / "usage")
    await door.search(SECRET, collections=["both"])
    await door.search(SECRET, collections=["both", SECRET])
    await door.call("Route", routing_pb.RouteRequest(text=SECRET))
    await door.search("something else", token=door.token(tenant="nobody"))
    noted = searches(root)
    assert [one.outcome for one in noted] == ["allowed", "denied", "allowed", "denied"]
    assert [one.reason for one in noted][1::2] == ["FIELD_INVALID", "TENANT_UNKNOWN"]
    assert [one.tenant for one in noted] == [TENANT, TENANT, TENANT, "nobody"]
    assert len({one.query for one in noted[:3]}) == 1
    assert noted[0].query != noted[3].query
    assert len({one.caller for one in noted}) == 1
    kept = everything(tmp_path)
    assert all(word not in kept for word in (SECRET.encode(), b"Globex", b"tester"))


async def test_a_folder_that_cannot_be_used_ends_the_start(fresh: OpenFrontDoor, tmp_path: Path) -> None:
    """Nobody bills from a journal that was never opened."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        await fresh(usage_dir=tmp_path / "file")
