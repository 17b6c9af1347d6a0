"""What the scripts of reports and promises are given and give back, as plain values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from trunkline_admission.levels import LATENCY_BUCKETS, Evidence
from trunkline_admission.objectives import DAY_S, RATE_HOURS, SILENT_S, WINDOW_DAYS, Account, Outage, Tally
from trunkline_admission.report_parts import Part
from trunkline_admission.windows import MAX_ROUTERS

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


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of a part."""

    counted: bool
    """False where somebody else had counted it before."""
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


def report_body(part: Part, keys: list[str], key_of: Callable[[str], str]) -> dict[str, Any]:
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
            "load_errors": seen.load_errors,
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


def text_of(value: Any) -> str:
    """Return what the store holds as text."""
    return value.decode() if isinstance(value, bytes) else str(value)


def pairs_of(flat: Iterable[Any]) -> dict[str, str]:
    """Return fields and values that come one after the other; raise ValueError for an odd one."""
    texts = [text_of(each) for each in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def evidence_of(sums: dict[str, str]) -> dict[str, Evidence] | None:
    """Return what the sums of the last seconds say of each tier; None if there was no second with a report."""
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


def outage_of(text: Any) -> Outage:
    """Return an outage as the report's script keeps it."""
    kept = json.loads(text)
    return Outage(kept["from_ms"] / 1000, kept["to_ms"] / 1000, dict(kept["served"]))


_COLUMNS: Final = {"c": "calls", "e": "errors", "s": "slow"}


def account_of(fields: Mapping[str, str]) -> Account:
    """Return an account: fields are `h` or `d` for hours and days, `c`, `e` or `s` for the column, and the index."""
    tables: dict[str, dict[int, dict[str, int]]] = {"h": {}, "d": {}}
    for field, text in fields.items():
        tables[field[0]].setdefault(int(field[2:]), {})[_COLUMNS[field[1]]] = int(text)
    hours, days = ({index: Tally(**columns) for index, columns in tables[mark].items()} for mark in ("h", "d"))
    return Account(hours, days)
