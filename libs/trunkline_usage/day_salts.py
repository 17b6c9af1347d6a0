"""The salts that a writer of the search audit has at hand: of today, and of tomorrow before it begins."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Final

from trunkline_usage.append_log import log
from trunkline_usage.salts import SALT_BYTES, Salts

DAY_S: Final = 86_400


class DaySalts:
    """`of` is for the event loop and waits for nothing; `prepare` reads and writes files, from another thread."""

    def __init__(self, salts: Salts, now: Callable[[], float] = time.time) -> None:
        """Prepare nothing yet. `now` is Unix time."""
        self._salts = salts
        self._now = now
        self._ready: dict[int, bytes] = {}
        """By day, counted from 1970; replaced as a whole, for two threads look at it."""
        self._own: tuple[int, bytes] = (-1, b"")
        self._told = -1

    def of(self, now_s: float) -> bytes:
        """Return the salt of a time's day.

        One that is not prepared, because it cannot be kept or the clock was set, is this process's alone: its hashes
        are tied together until it is prepared, or its day is over.
        """
        day = int(now_s) // DAY_S
        salt = self._ready.get(day)
        if salt is not None:
            return salt
        if self._own[0] != day:
            self._own = (day, secrets.token_bytes(SALT_BYTES))
        return self._own[1]

    def prepare(self) -> None:
        """Make what is missing of today's and tomorrow's, and destroy those whose time is over. Raises nothing."""
        today = int(self._now()) // DAY_S
        if today in self._ready and today + 1 in self._ready:
            return
        try:
            self._ready = {day: self._salts.ensure(_date_of(day)) for day in (today, today + 1)}
            self._salts.destroy_old(_date_of(today))
        except OSError as exc:
            if self._told != today:
                self._told = today
                log.error("the day's salt cannot be kept", name="searches", error_type=type(exc).__name__)


def _date_of(day: int) -> date:
    return datetime.fromtimestamp(day * DAY_S, UTC).date()
