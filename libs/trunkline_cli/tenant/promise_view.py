"""Limits, promises and levels of regions as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from google.protobuf.descriptor import EnumDescriptor

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import usage_service_pb2 as usage_pb
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_cli.map_view import plain
from trunkline_cli.output import Output
from trunkline_cli.tenant.regions import Told
from trunkline_cli.tenant.words import money
from trunkline_client.trail import enum_name

LIMIT_COLUMNS: Final = ("scope", "period", "unit", "limit", "used", "left", "burst", "resets", "note")
OBJECTIVE_COLUMNS: Final = (
    "region", "name", "p95", "available", "requests", "errors", "slow", "spent", "burn 1h", "6h", "3d", "changes",
)  # fmt: skip
LEVEL_COLUMNS: Final = ("region", "tier", "level", "since", "cause")


def show_limits(out: Output, told: Sequence[Told[usage_pb.GetLimitsResponse]]) -> None:
    """Print the limits as the region that keeps them has them, or as each region has them where that one is silent."""
    answers = {each.region: each.answer for each in told if each.answer is not None}
    homes = {answer.home_region for answer in answers.values()} & answers.keys()
    for region, answer in answers.items():
        level = _name(quota_pb.ServiceLevel.DESCRIPTOR, answer.level, "SERVICE_LEVEL_")
        local = ", of this replica alone" if answer.source == admission_pb.QUOTA_SOURCE_LOCAL else ""
        out.line(f"{answer.tenant_id} in {region}: {answer.tier}, rank {answer.rank}, level {level}", style="bold")
        if homes and region not in homes:
            out.line(f"  kept by {answer.home_region}", style="dim")
            continue
        out.line(f"  kept here{local}" if region in homes else f"  told by {region}{local}", style="dim")
        out.table(LIMIT_COLUMNS, [_limit_row(each) for each in answer.limits])


def _limit_row(state: usage_pb.LimitState) -> Sequence[str]:
    micros = state.unit == quota_pb.LIMIT_UNIT_MICROS

    def amount(value: int) -> str:
        return money(value) if micros else f"{value:,}"

    notes = [word for word, holds in (("on trial", state.shadow), ("override", state.overridden)) if holds]
    return (
        _name(quota_pb.LimitScope.DESCRIPTOR, state.scope, "LIMIT_SCOPE_"),
        _name(quota_pb.LimitPeriod.DESCRIPTOR, state.period, "LIMIT_PERIOD_"),
        "money" if micros else _name(quota_pb.LimitUnit.DESCRIPTOR, state.unit, "LIMIT_UNIT_"),
        amount(state.limit),
        amount(state.used),
        amount(max(0, state.limit - state.used)),
        f"{state.burst:,}" if state.burst else "",
        state.reset_time.ToDatetime().isoformat(sep=" ", timespec="minutes") if state.HasField("reset_time") else "",
        ", ".join(notes),
    )


def show_objectives(out: Output, told: Sequence[Told[Sequence[usage_pb.Objective]]]) -> None:
    """Print each region's promises, and what is left of their error budgets."""
    rows = [_objective_row(each.region, one) for each in told for one in each.answer or ()]
    out.table(OBJECTIVE_COLUMNS, rows)


def _objective_row(region: str, one: usage_pb.Objective) -> Sequence[str]:
    return (
        region,
        f"tier {one.name}" if one.tier else one.name,
        f"{one.p95.ToMilliseconds():,} ms",
        f"{one.availability:.3%}",
        f"{one.calls:,}",
        f"{one.errors:,}",
        f"{one.slow:,}",
        f"{one.spent_part:.0%}",
        f"{one.burn_rate_1h:.2f}",
        f"{one.burn_rate_6h:.2f}",
        f"{one.burn_rate_3d:.2f}",
        _name(usage_pb.BudgetAction.DESCRIPTOR, one.action, "BUDGET_ACTION_", unspecified="as always"),
    )


def show_levels(out: Output, told: Sequence[Told[Sequence[admission_pb.TierLevel]]]) -> None:
    """Print what each region leaves out for each tier."""
    out.table(LEVEL_COLUMNS, [_level_row(each.region, one) for each in told for one in each.answer or ()])


def _level_row(region: str, one: admission_pb.TierLevel) -> Sequence[str]:
    since = one.since_time.ToDatetime().isoformat(sep=" ", timespec="seconds") if one.HasField("since_time") else ""
    level = _name(quota_pb.ServiceLevel.DESCRIPTOR, one.level, "SERVICE_LEVEL_", unspecified="normal")
    return region, one.tier, level, since, one.cause


def regions_data(told: Iterable[Told[Any]]) -> Mapping[str, Any]:
    """Return what each region said as plain data: its answer, or why there is none."""
    return {
        each.region: {"problem": each.problem} if each.answer is None else _answer_data(each.answer) for each in told
    }


def _answer_data(answer: Any) -> Any:
    return [plain(one) for one in answer] if isinstance(answer, tuple) else plain(answer)


def _name(enum: EnumDescriptor, number: int, prefix: str, *, unspecified: str = "") -> str:
    short = enum_name(enum, number, prefix).lower()
    return unspecified if short == "unspecified" else short
