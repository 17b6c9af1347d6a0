"""Reports, levels and accounts of promises in the region's store: the scripts' keys, arguments and answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from trunkline_admission.levels import FRESH_S, LATENCY_BUCKETS, WINDOW_S, Evidence
from trunkline_admission.objectives import (
    DAY_S,
    RATE_HOURS,
    SILENT_S,
    WINDOW_DAYS,
    Account,
    Outage,
    Tally,
)
from trunkline_admission.report_parts import Part
from trunkline_admission.scripting import ScriptRunner
from trunkline_admission.windows import MAX_ROUTERS
from trunkline_mesh.clock import Clock
from trunkline_mesh.errors import BackendUnavailable

WINDOWS: Final = 16
"""Windows of one second that are kept; above WINDOW_S."""
MAX_OUTAGES: Final = 100
"""Outages that are remembered, the latest ones."""
MAX_TROUBLED: Final = 500
"""Tenants with failed calls that are remembered for the account of all, those with the latest ones."""
TIER_HOURS: Final = 24 * (WINDOW_DAYS + 1) + RATE_HOURS
"""Hours that a tier's account keeps: the window, and what tells the usual traffic before an outage at its beginning."""
TENANT_HOURS: Final = 74
"""Hours that a tenant's account keeps: three days for burn rates."""
ACCOUNT_TTL_S: Final = (WINDOW_DAYS + 3) * DAY_S
MONTH_TTL_S: Final = 100 * DAY_S
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


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of a part."""

    counted: bool
    """False where it had been counted before."""
    spent_micros: Sequence[int]
    """Of each tenant in its month, in the order of the part."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What all routers saw lately, and the levels that hold."""

    now_s: float
    version: str
    """Of the levels; empty where none are kept."""
    levels: str
    """As they were kept."""
    routers: int
    evidence: Mapping[str, Evidence] | None
    """By tier; None if nobody has reported."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """Accounts of tiers or tenants, with the region's outages."""

    now_s: float
    heard_at_s: float | None
    """When a router was last heard; None if none ever was."""
    downed: bool
    """True if since then the map has had the region down."""
    served: Mapping[str, int]
    """Calls by tier since then."""
    outages: Sequence[Outage]
    troubled: Sequence[str]
    """Tenants with failed calls, the latest first."""
    accounts: Sequence[Account]
    """In the order of the names."""


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
        keys = [self._key("routers"), self._key("sequences"), *self._silence, *self._windows]
        body = _body(part, keys, self._key)
        with _sensible():
            counted, now_ms, *rest = await self._scripts.run("report", keys, (json.dumps(body),))
            outcome = Counted(bool(counted), [int(micros) for micros in rest[0]] if rest else ())
            self.clock.learn(int(now_ms))
            return outcome

    async def seen(self) -> Seen:
        """Return what there is to judge levels by."""
        keys = (self._key("levels"), self._key("routers"), *self._windows)
        with _sensible():
            now_ms, version, levels, routers, sums = await self._scripts.run("evidence", keys, (WINDOW_S, FRESH_S))
            evidence = _evidence(_pairs(sums))
            return Seen(self.clock.learn(int(now_ms)), _text(version), _text(levels), int(routers), evidence)

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
            heard = _pairs(silence)
            at_ms = heard.pop("at_ms", None)
            return Accounts(
                now_s=int(now_ms) / 1000,
                heard_at_s=None if at_ms is None else int(at_ms) / 1000,
                downed=heard.pop("downed", "") == "1",
                served={name.removeprefix("served:"): int(calls) for name, calls in heard.items()},
                outages=[_outage(json.loads(text)) for text in outages],
                troubled=[_text(name) for name in named],
                accounts=[_account(_pairs(each)) for each in fields],
            )

    def _key(self, name: str) -> str:
        return self._tag + name

    def _tier_key(self, tier: str) -> str:
        return self._key(f"tier:{tier}")

    def _tenant_key(self, tenant_id: str) -> str:
        return self._key(f"tenant:{tenant_id}")


@contextmanager
def _sensible() -> Any:
    """Turn an answer that makes no sense into a store that cannot be asked."""
    try:
        yield
    except (TypeError, ValueError, KeyError, IndexError) as exc:
        raise BackendUnavailable("the store's answer makes no sense") from exc


def _body(part: Part, keys: list[str], key_of: Any) -> dict[str, Any]:
    """Return the script's argument; the keys that it names by place are added to `keys`."""
    places: dict[str, int] = {}

    def place(name: str) -> int:
        if name not in places:
            keys.append(key_of(name))
            places[name] = len(keys)
        return places[name]

    tiers = [
        {
            "key": place(f"tier:{seen.tier}"),
            "name": seen.tier,
            "calls": seen.calls,
            "errors": seen.errors,
            "slow": seen.slow,
            "utilisation": seen.utilisation,
            "counts": {str(index): count for index, count in enumerate(seen.latency_counts) if count},
        }
        for seen in part.tiers
    ]
    tenants = [
        {
            "key": place(f"tenant:{row.seen.tenant_id}"),
            "month": place(f"month:{row.month}"),
            "name": row.seen.tenant_id,
            "calls": row.seen.calls,
            "errors": row.seen.errors,
            "slow": row.seen.slow,
            "cost_micros": row.seen.cost_micros,
        }
        for row in part.tenants
    ]
    return {
        "router": part.router,
        "sequence": part.sequence,
        "part": part.index,
        "fronts": part.fronts,
        "late": part.late,
        "down": part.down,
        "planned": part.planned,
        "tiers": tiers,
        "tenants": tenants,
        "silent_ms": round(SILENT_S * 1000),
        "max_routers": MAX_ROUTERS,
        "max_outages": MAX_OUTAGES,
        "max_troubled": MAX_TROUBLED,
        "tier_hours": TIER_HOURS,
        "tenant_hours": TENANT_HOURS,
        "tenant_days": WINDOW_DAYS + 1,
        "account_ttl_s": ACCOUNT_TTL_S,
        "month_ttl_s": MONTH_TTL_S,
    }


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _pairs(flat: Iterable[Any]) -> dict[str, str]:
    texts = [_text(each) for each in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _evidence(sums: dict[str, str]) -> dict[str, Evidence] | None:
    if not int(sums.pop("seconds")):
        return None
    numbers: dict[str, dict[str, float]] = {}
    for field, text in sums.items():
        kind, _, tier = field.partition("/")
        numbers.setdefault(tier, {})[kind] = float(text)
    return {
        tier: Evidence(
            calls=int(kinds.get("c", 0)),
            errors=int(kinds.get("e", 0)),
            latency_counts=tuple(int(kinds.get(str(index), 0)) for index in range(LATENCY_BUCKETS)),
            utilisation=kinds.get("u"),
        )
        for tier, kinds in numbers.items()
    }


def _outage(kept: Mapping[str, Any]) -> Outage:
    return Outage(kept["from_ms"] / 1000, kept["to_ms"] / 1000, dict(kept["served"]))


_COLUMNS: Final = {"c": "calls", "e": "errors", "s": "slow"}


def _account(fields: Mapping[str, str]) -> Account:
    tables: dict[str, dict[int, dict[str, int]]] = {"h": {}, "d": {}}
    for field, text in fields.items():
        tables[field[0]].setdefault(int(field[2:]), {})[_COLUMNS[field[1]]] = int(text)
    hours, days = ({index: Tally(**columns) for index, columns in tables[mark].items()} for mark in ("h", "d"))
    return Account(hours, days)
