"""Reports, levels and accounts of promises in the region's store: one script for each."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from trunkline_admission.levels import FRESH_S, WINDOW_S
from trunkline_admission.month_sums import MonthSum
from trunkline_admission.promise_records import (
    MONTH_TTL_S,
    Accounts,
    Counted,
    Seen,
    account_of,
    evidence_of,
    outage_of,
    pairs_of,
    report_body,
    text_of,
)
from trunkline_admission.report_parts import Part
from trunkline_admission.scripting import ScriptRunner
from trunkline_mesh.clock import Clock
from trunkline_mesh.errors import BackendUnavailable

WINDOWS: Final = 16
"""Windows of one second that are kept; above WINDOW_S."""
LEVELS_TTL_S: Final = 3600
"""Levels that nobody has renewed for so long are forgotten."""


class StoreClock:
    """Unix time as the store has it, so that replicas agree on hours and months whatever their own clocks say."""

    def __init__(self, wall_clock: Clock = time.time) -> None:
        """Begin with this replica's own time."""
        self._wall_clock = wall_clock
        self._offset_s = 0.0

    def now_s(self) -> float:
        """Return the store's time, as of its last answer and what has passed since."""
        return self._wall_clock() + self._offset_s

    def learn(self, now_ms: int) -> float:
        """Take the store's time from an answer; return it in seconds."""
        now_s = now_ms / 1000
        self._offset_s = now_s - self._wall_clock()
        return now_s


class PromiseStore:
    """The scripts' surface. All keys share one tag, so they share a cluster's slot: an account is added in one step.

    Every method raises what `ScriptRunner.run` raises, and BackendUnavailable for an answer that makes no sense.
    """

    def __init__(self, scripts: ScriptRunner, key_prefix: str, clock: StoreClock) -> None:
        """Keep everything under `key_prefix`."""
        self._scripts = scripts
        self._tag = f"{key_prefix}:{{promises}}:"
        self.clock: Final = clock
        self._windows = [self._key(f"window:{index}") for index in range(WINDOWS)]
        self._silence = [self._key("silence"), self._key("outages"), self._key("troubled")]

    async def count(self, part: Part) -> Counted:
        """Add one part of a report, unless it was added before."""
        # Who reports another region's costs is no router of this one, and has a list of its own.
        senders = ("routers", "sequences") if part.fronts else ("tellers", "teller_sequences")
        keys = [*map(self._key, senders), *self._silence, *self._windows]
        body = report_body(part, keys, self._key)
        with _sensible():
            counted, now_ms, spent = await self._scripts.run("report", keys, (json.dumps(body),))
            outcome = Counted(bool(counted), [int(micros) for micros in spent])
            if len(outcome.spent_micros) != len(part.tenants):
                raise ValueError("an answer without all tenants")
            self.clock.learn(int(now_ms))
            return outcome

    async def seen(self) -> Seen:
        """Return what there is to judge levels by."""
        keys = (self._key("levels"), self._key("routers"), *self._windows)
        with _sensible():
            now_ms, version, levels, routers, sums = await self._scripts.run("evidence", keys, (WINDOW_S, FRESH_S))
            evidence = evidence_of(pairs_of(sums))
            return Seen(self.clock.learn(int(now_ms)), text_of(version), text_of(levels), int(routers), evidence)

    async def keep_levels(self, version: str, new_version: str, levels: str) -> bool:
        """Keep new levels; return False if another replica was first."""
        args = (version, new_version, levels, LEVELS_TTL_S)
        with _sensible():
            return bool(int(await self._scripts.run("keep_levels", (self._key("levels"),), args)))

    async def accounts(self, *, tiers: Sequence[str] = (), tenants: Sequence[str] = (), troubled: int = 0) -> Accounts:
        """Return the accounts of tiers and tenants, in this order, and the names of at most `troubled` tenants."""
        names = [*(self._tier_key(name) for name in tiers), *(self._tenant_key(name) for name in tenants)]
        with _sensible():
            now_ms, silence, outages, named, fields = await self._scripts.run(
                "accounts", (*self._silence, *names), (troubled,)
            )
            heard = pairs_of(silence)
            at_ms = heard.pop("at_ms", None)
            return Accounts(
                now_s=int(now_ms) / 1000,
                heard_at_s=None if at_ms is None else int(at_ms) / 1000,
                downed=heard.pop("downed", "") == "1",
                served={name.removeprefix("served:"): int(calls) for name, calls in heard.items()},
                outages=[outage_of(text) for text in outages],
                troubled=[text_of(name) for name in named],
                accounts=[account_of(pairs_of(each)) for each in fields],
            )

    async def spent_micros(self, tenant_id: str, month: str) -> int:
        """Return what a tenant's month has cost so far."""
        with _sensible():
            return int(await self._scripts.run("spent", (self._key(f"month:{month}"),), (tenant_id,)))

    async def give_back(self, sums: Sequence[MonthSum], mark: str) -> tuple[str, int]:
        """Raise the sums of months to at least `sums`.

        Return the store's mark, which is `mark` if it had none, and how many sums were less.
        """
        months = [f"month:{month}" for month in dict.fromkeys(each.month for each in sums)]
        place = {month: index for index, month in enumerate(months, start=2)}
        args: list[str | int] = [mark, MONTH_TTL_S]
        for each in sums:
            args += (place[f"month:{each.month}"], each.tenant_id, each.micros)
        with _sensible():
            keys = [self._key(name) for name in ("store", *months)]
            found, raised = await self._scripts.run("months", keys, args)
            return text_of(found), int(raised)

    def _key(self, name: str) -> str:
        return self._tag + name

    def _tier_key(self, tier: str) -> str:
        return self._key(f"tier:{tier}")

    def _tenant_key(self, tenant_id: str) -> str:
        return self._key(f"tenant:{tenant_id}")


@contextmanager
def _sensible() -> Iterator[None]:
    """Turn an answer that makes no sense into a store that cannot be asked."""
    try:
        yield
    except (TypeError, ValueError, KeyError, IndexError) as exc:
        raise BackendUnavailable("the store's answer makes no sense") from exc
