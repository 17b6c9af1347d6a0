"""GetUsage: whose, which days, and how far the answer goes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.unit.usage.making import NOON_S, record, write

from trunkline.admission.v1 import usage_service_pb2 as usage_pb
from trunkline_admission import usage_answer
from trunkline_admission.usage_answer import UsageAnswer, open_usage_answer
from trunkline_map.entries import TenantEntry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendUnavailable, FieldInvalid
from trunkline_mesh.request import RequestScope, enter_request
from trunkline_usage.ledger import open_ledger
from trunkline_usage.records import StageUse

ACME = TenantEntry("acme", "pro", frozenset({"eu"}))
KIWI = TenantEntry("kiwi", "pro", frozenset({"eu"}), time_zone="Pacific/Auckland")


@pytest.fixture(autouse=True)
async def _in_a_request() -> None:
    enter_request(RequestScope("r-1", 1, "/x.Y/Z", Deadline.after(10), deadline_capped=False))


def wanted(first_day: str = "", last_day: str = "", label: str = "") -> usage_pb.GetUsageRequest:
    return usage_pb.GetUsageRequest(first_day=first_day, last_day=last_day, label=label)


async def test_it_tells_what_was_used_until_now(tmp_path: Path) -> None:
    """By day, stage, collection and label; everything that was answered before the call is counted."""
    write(tmp_path / "r1", [record("a"), record("b", labels=(("team", "red"),)), record("c", tenant_id="zeta")])
    asked_s = time.time()
    async with open_usage_answer(tmp_path, tmp_path / "state" / "ledger.db", "EUR") as answering:
        told = await answering.answer(wanted("2026-11-21", label="team"), ACME)
    assert [(line.stage, line.collection, line.label_value, line.cost_micros) for line in told.lines] == [
        ("embedding", "", "blue", 20),
        ("embedding", "", "red", 20),
        ("search", "notes", "blue", 0),
        ("search", "notes", "red", 0),
    ]
    assert (told.requests, told.currency, told.truncated) == (2, "EUR", False)
    assert told.complete_until_time.ToNanoseconds() / 1e9 >= asked_s - 1e-3


async def test_today_is_the_tenants(tmp_path: Path) -> None:
    """Without days."""
    write(tmp_path, [record("a", tenant_id="kiwi", time_zone="Pacific/Auckland")])
    with open_ledger(None, tmp_path) as ledger:
        told = await UsageAnswer(ledger, "EUR", now=lambda: NOON_S).answer(wanted(), KIWI)
    assert [line.day for line in told.lines] == ["2026-11-22", "2026-11-22"]


async def test_without_journals_it_says_that_it_knows_nothing() -> None:
    """There is no time until which it would be complete."""
    async with open_usage_answer(None, None, "EUR") as answering:
        told = await answering.answer(wanted("2026-11-21"), ACME)
    assert told.requests == 0
    assert not told.HasField("complete_until_time")


async def test_more_lines_than_an_answer_holds_are_left_out_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of requests is that of all."""
    monkeypatch.setattr(usage_answer, "MAX_LINES", 3)
    uses = [StageUse("write", f"c{index}", 1, 1, 1) for index in range(5)]
    write(tmp_path, [record("a", stages=uses), record("b", stages=uses)])
    async with open_usage_answer(tmp_path, None, "EUR") as answering:
        told = await answering.answer(wanted("2026-11-21"), ACME)
    assert (len(told.lines), told.truncated, told.requests) == (3, True, 2)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (wanted("yesterday"), "first_day"),
        (wanted("20261121"), "first_day"),
        (wanted("2026-11-21", "2026-11-31"), "last_day"),
        (wanted("2026-11-21", "2026-11-20"), "last_day"),
        (wanted("2025-01-01", "2026-01-02"), "last_day"),
        (wanted(label="x" * 129), "label"),
    ],
)
async def test_days_and_labels_that_are_none_are_refused(request_: usage_pb.GetUsageRequest, field: str) -> None:
    """By the field's name."""
    with pytest.raises(FieldInvalid) as refused:
        await UsageAnswer(None, "EUR", now=lambda: NOON_S).answer(request_, ACME)
    assert [each.field for each in refused.value.violations] == [field]


async def test_journals_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    """As a dependency that fails, without its words."""
    with open_ledger(None, tmp_path) as ledger:
        answering = UsageAnswer(ledger, "EUR")
    with pytest.raises(BackendUnavailable, match="usage cannot be read now"):
        await answering.answer(wanted("2026-11-21"), ACME)
