"""Messages of Report to plain values and back; the bounds of the contract."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_admission.budgets import Budget
from trunkline_admission.levels import LATENCY_BUCKETS, Level, TierState
from trunkline_admission.seen import Report, TenantSeen, TierSeen
from trunkline_mesh.errors import FieldInvalid, FieldViolation

MAX_ROUTER_CHARS: Final = 63
MAX_TIERS: Final = 64
MAX_TENANTS: Final = 2000
MAX_ID_CHARS: Final = 128
MAX_CALLS: Final = 10**9
MAX_COST_MICROS: Final = 10**15
MAX_UTILISATION: Final = 1e6
MIN_WINDOW_S: Final = 0.1
MAX_WINDOW_S: Final = 60.0
MAX_SEQUENCE: Final = 2**53 - 1
"""What the store's scripts count exactly."""
MAX_TOLD: Final = 16
"""Violations that one refusal names."""
VALID_S: Final = 10
"""An answer's levels hold for so long without another one."""

_VALID: Final = Duration(seconds=VALID_S)


class _Fields:
    """Collects what breaks the bounds."""

    def __init__(self) -> None:
        self.wrong: list[FieldViolation] = []

    def require(self, holds: bool, field: str, description: str) -> None:
        """Note a violation unless it holds."""
        if not holds and len(self.wrong) < MAX_TOLD:
            self.wrong.append(FieldViolation(field, description))

    def whole(self, field: str, value: int, most: int) -> None:
        """Require 0 to `most`."""
        self.require(0 <= value <= most, field, f"must be 0 to {most}")


def parse_report(request: admission_pb.ReportRequest) -> Report:
    """Return the report as plain values; raise FieldInvalid that names what is out of bounds, MAX_TOLD at most."""
    fields = _Fields()
    _check_span(request, fields)
    _check_names("tiers", [row.tier for row in request.tiers], MAX_TIERS, fields)
    _check_names("tenants", [row.tenant_id for row in request.tenants], MAX_TENANTS, fields)
    if not fields.wrong:
        for index, tier in enumerate(request.tiers):
            _check_tier(f"tiers[{index}].", tier, fields)
        for index, tenant in enumerate(request.tenants):
            _check_counts(f"tenants[{index}].", tenant, fields)
            fields.whole(f"tenants[{index}].cost_micros", tenant.cost_micros, MAX_COST_MICROS)
    if fields.wrong:
        raise FieldInvalid(violations=fields.wrong)
    return Report(
        router=request.router,
        sequence=request.sequence,
        window_s=request.window.seconds + request.window.nanos / 1e9,
        tiers=tuple(_tier(row) for row in request.tiers),
        tenants=tuple(
            TenantSeen(row.tenant_id, row.calls, row.errors, row.slow, row.cost_micros) for row in request.tenants
        ),
    )


def report_response(states: Mapping[str, TierState], budgets: Iterable[Budget]) -> admission_pb.ReportResponse:
    """Return what a router is told."""
    return admission_pb.ReportResponse(
        levels=tier_levels(states), budgets=[_budget(each) for each in budgets], valid_duration=_VALID
    )


def tier_levels(states: Mapping[str, TierState]) -> list[admission_pb.TierLevel]:
    """Return the levels of all tiers, in the order of `states`."""
    return [_level(tier, state) for tier, state in states.items()]


def service_level(level: Level) -> quota_pb.ServiceLevel.ValueType:
    """Return a level in the contract's words."""
    return quota_pb.ServiceLevel.ValueType(int(level))


def _check_span(request: admission_pb.ReportRequest, fields: _Fields) -> None:
    named = 1 <= len(request.router) <= MAX_ROUTER_CHARS and request.router.isprintable()
    fields.require(named, "router", f"must be 1 to {MAX_ROUTER_CHARS} printable characters")
    fields.require(1 <= request.sequence <= MAX_SEQUENCE, "sequence", "must be 1 and more")
    window_s = request.window.seconds + request.window.nanos / 1e9
    fits = MIN_WINDOW_S <= window_s <= MAX_WINDOW_S
    fields.require(fits, "window", f"must be {MIN_WINDOW_S:g} s to {MAX_WINDOW_S:g} s")


def _check_names(field: str, names: list[str], most: int, fields: _Fields) -> None:
    fields.require(len(names) <= most, field, f"must be at most {most}")
    fits = all(1 <= len(name) <= MAX_ID_CHARS for name in names)
    fields.require(fits, field, f"must have names of 1 to {MAX_ID_CHARS} characters")
    fields.require(len(set(names)) == len(names), field, "must have each name once")


def _check_tier(prefix: str, row: admission_pb.TierReport, fields: _Fields) -> None:
    _check_counts(prefix, row, fields)
    fields.require(0 <= row.limit_errors <= row.errors, f"{prefix}limit_errors", "must be 0 to errors")
    fits = len(row.latency_counts) <= LATENCY_BUCKETS and all(0 <= each <= MAX_CALLS for each in row.latency_counts)
    fields.require(fits, f"{prefix}latency_counts", f"must be at most {LATENCY_BUCKETS} of 0 to {MAX_CALLS}")
    used = math.isfinite(row.utilisation) and 0 <= row.utilisation <= MAX_UTILISATION
    fields.require(used, f"{prefix}utilisation", f"must be 0 to {MAX_UTILISATION:g}")


def _check_counts(prefix: str, row: admission_pb.TierReport | admission_pb.TenantReport, fields: _Fields) -> None:
    fields.whole(f"{prefix}calls", row.calls, MAX_CALLS)
    # Of something that cannot be: a failed or slow call that was none.
    for name, value in (("errors", row.errors), ("slow", row.slow)):
        fields.require(0 <= value <= row.calls, f"{prefix}{name}", "must be 0 to calls")


def _tier(row: admission_pb.TierReport) -> TierSeen:
    counts = tuple(row.latency_counts)
    return TierSeen(row.tier, row.calls, row.errors, row.slow, counts, row.utilisation, row.limit_errors)


def _level(tier: str, state: TierState) -> admission_pb.TierLevel:
    told = admission_pb.TierLevel(tier=tier, level=service_level(state.level), cause=state.cause)
    if state.since_s > 0:
        told.since_time.CopyFrom(_timestamp(state.since_s))
    return told


def _budget(budget: Budget) -> admission_pb.TenantBudget:
    return admission_pb.TenantBudget(
        tenant_id=budget.tenant_id,
        state=admission_pb.BudgetState.ValueType(int(budget.state)),
        used_part=budget.used_part,
        reset_time=_timestamp(budget.resets_at_s),
    )


def _timestamp(at_s: float) -> Timestamp:
    micros = round(at_s * 1e6)
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)
