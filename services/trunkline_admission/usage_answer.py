"""What a tenant used, from the journals of the region's routers."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from trunkline.admission.v1 import usage_service_pb2 as usage_pb
from trunkline_map.entries import TenantEntry
from trunkline_mesh.background import background
from trunkline_mesh.errors import BackendUnavailable, FieldInvalid, FieldViolation
from trunkline_mesh.logs import get_logger
from trunkline_mesh.request import current_request
from trunkline_usage.aggregate import day_of, days_between
from trunkline_usage.ledger import Ledger, Used, open_ledger

MAX_DAYS: Final = 366
MAX_LINES: Final = 10_000
MAX_LABEL_CHARS: Final = 128
REFRESH_S: Final = 2.0
"""Longest that one answer reads what the journals have that is new."""
REFRESH_PART: Final = 0.5
"""Of the time that a call has left, for the same."""
FOLLOW_EVERY_S: Final = 30.0
"""How often journals are read without being asked for, so that an answer finds little that is new."""

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_T = TypeVar("_T")

_log = get_logger("admission.usage")


class UsageAnswer:
    """Answers from a ledger, brought up to date first as far as the time allows."""

    def __init__(self, ledger: Ledger | None, currency: str, now: Callable[[], float] = time.time) -> None:
        """Tell amounts in `currency`. Without a ledger nothing is kept here, and answers say so: no complete time."""
        self._ledger = ledger
        self._currency = currency
        self._now = now
        self._refreshing = asyncio.Lock()

    async def answer(self, request: usage_pb.GetUsageRequest, tenant: TenantEntry) -> usage_pb.GetUsageResponse:
        """Return what the tenant used on the days that are asked for.

        Raises FieldInvalid for days or a label that are none, BackendUnavailable where the journals cannot be read.
        """
        first_day, last_day = self._days(request, tenant)
        if self._ledger is None:
            return usage_pb.GetUsageResponse(currency=self._currency)
        try:
            await self._refresh(self._ledger, min(REFRESH_S, REFRESH_PART * current_request().deadline.remaining_s()))
            complete_until_s = self._ledger.complete_until_s
            used = await _in_thread(self._ledger.used, tenant.tenant_id, first_day, last_day, request.label)
        except (OSError, sqlite3.Error) as exc:
            _log.error("usage cannot be read", error_type=type(exc).__name__)
            raise BackendUnavailable("usage cannot be read now") from exc
        return self._render(used, complete_until_s)

    async def follow(self) -> None:
        """Keep the ledger near what the journals have, until cancelled."""
        failed = False
        while self._ledger is not None:
            try:
                await self._refresh(self._ledger, REFRESH_S)
                failed = False
            except (OSError, sqlite3.Error) as exc:
                if not failed:
                    _log.error("usage cannot be read", error_type=type(exc).__name__)
                failed = True
            await asyncio.sleep(FOLLOW_EVERY_S)

    async def _refresh(self, ledger: Ledger, budget_s: float) -> None:
        """Read what is new; who waits for another's turn takes what that one found, if it began late enough."""
        asked_s = self._now()
        async with self._refreshing:
            if ledger.complete_until_s < asked_s:
                await _in_thread(ledger.refresh, budget_s)

    def _days(self, request: usage_pb.GetUsageRequest, tenant: TenantEntry) -> tuple[str, str]:
        wrong = [
            FieldViolation(name, "must be a day, YYYY-MM-DD")
            for name, day in (("first_day", request.first_day), ("last_day", request.last_day))
            if day and not _is_day(day)
        ]
        if len(request.label) > MAX_LABEL_CHARS:
            wrong.append(FieldViolation("label", f"must be at most {MAX_LABEL_CHARS} characters"))
        if wrong:
            raise FieldInvalid(violations=wrong)
        first_day = request.first_day or day_of(self._now(), tenant.time_zone)
        last_day = request.last_day or first_day
        if not 1 <= days_between(first_day, last_day) <= MAX_DAYS:
            reason = f"must be first_day or up to {MAX_DAYS - 1} days later"
            raise FieldInvalid(violations=[FieldViolation("last_day", reason)])
        return first_day, last_day

    def _render(self, used: Used, complete_until_s: float) -> usage_pb.GetUsageResponse:
        response = usage_pb.GetUsageResponse(
            requests=used.requests, currency=self._currency, truncated=len(used.lines) > MAX_LINES
        )
        for heading, amount in used.lines[:MAX_LINES]:
            response.lines.add(
                day=heading.day,
                stage=heading.stage,
                collection=heading.collection,
                label_value=heading.label_value,
                count=amount.count,
                tokens=amount.tokens,
                cost_micros=amount.cost_micros,
                price_version=heading.price_version,
            )
        if complete_until_s:
            response.complete_until_time.FromMicroseconds(round(complete_until_s * 1e6))
        return response


@asynccontextmanager
async def open_usage_answer(
    usage_dir: Path | None, ledger_path: Path | None, currency: str
) -> AsyncIterator[UsageAnswer]:
    """Open the ledger of the journals below `usage_dir`, in the file `ledger_path` or in memory, and follow them.

    Raises OSError and sqlite3.Error where the file cannot be opened.
    """
    if usage_dir is None:
        yield UsageAnswer(None, currency)
        return
    with open_ledger(ledger_path, usage_dir) as ledger:
        answer = UsageAnswer(ledger, currency)
        async with background(answer.follow()):
            yield answer


def _is_day(text: str) -> bool:
    try:
        return bool(_DAY.fullmatch(text)) and days_between(text, text) == 1
    except ValueError:
        return False


async def _in_thread(work: Callable[..., _T], *args: object) -> _T:
    """Run `work` in a thread, and wait for it even when cancelled: the ledger is closed afterwards."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *args))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait((running,))
        raise
