"""Warnings and refusals of the authority as routers read them, and back where another region's are passed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_admission.quota import LimitWarning, Period, Refusal, Scope, Unit
from trunkline_lease.refused import Refused

MAX_NOTES = 8
"""The contract's bound on notes in one answer."""

SCOPES: Final[Mapping[int, Scope]] = {scope.value: scope for scope in Scope}
PERIODS: Final[Mapping[int, Period]] = {period.value: period for period in Period}
UNITS: Final[Mapping[int, Unit]] = {unit.value: unit for unit in Unit}
"""By the contract's values; a later version may know more of each."""


def notes_of(warnings: Sequence[LimitWarning]) -> tuple[quota_pb.LimitNote, ...]:
    """Return warnings as notes, at most 8."""
    return tuple(_note(warning) for warning in warnings[:MAX_NOTES])


def warnings_of(notes: Sequence[quota_pb.LimitNote]) -> tuple[LimitWarning, ...]:
    """Return another region's notes as warnings; those of a kind that is not known here are left out."""
    return tuple(
        _warning(note) for note in notes if note.scope in SCOPES and note.period in PERIODS and note.unit in UNITS
    )


def refused_of(refusal: Refusal | None) -> Refused:
    """Return a refusal as the lease holder reads it."""
    if refusal is None:
        return Refused(None)
    return Refused(
        refusal.retry_delay_s,
        quota_pb.LimitScope.ValueType(refusal.scope.value),
        quota_pb.LimitPeriod.ValueType(refusal.period.value),
        quota_pb.LimitUnit.ValueType(refusal.unit.value),
        refusal.most,
    )


def refusal_of(refused: Refused) -> Refusal:
    """Return what another region refused; what it did not tell, or is not known here, counts as the tenant's rate of
    requests."""
    return Refusal(
        SCOPES.get(refused.scope, Scope.TENANT),
        PERIODS.get(refused.period, Period.RATE),
        UNITS.get(refused.unit, Unit.REQUESTS),
        refused.retry_delay_s,
        refused.most,
    )


def _note(warning: LimitWarning) -> quota_pb.LimitNote:
    note = quota_pb.LimitNote(
        scope=quota_pb.LimitScope.ValueType(warning.scope.value),
        period=quota_pb.LimitPeriod.ValueType(warning.period.value),
        unit=quota_pb.LimitUnit.ValueType(warning.unit.value),
        used_part=warning.used_part,
        shadow=warning.shadow,
    )
    if warning.resets_at_s is not None:
        note.reset_time.CopyFrom(Timestamp(seconds=int(warning.resets_at_s)))
    return note


def _warning(note: quota_pb.LimitNote) -> LimitWarning:
    resets_at_s = float(note.reset_time.seconds) if note.HasField("reset_time") else None
    return LimitWarning(
        Scope(note.scope), Period(note.period), Unit(note.unit), note.used_part, note.shadow, resets_at_s
    )
