"""Between messages of tenants' limits and their entries. Parsing checks every stated bound, and that limits agree."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_map.entries import NO_LIMITS, KeyLimit, LimitOverride, TenantLimits
from trunkline_routing.control.fields import Fields

MAX_OVERRIDES: Final = 8
MAX_KEY_LIMITS: Final = 32
MAX_SUBJECT_CHARS: Final = 128
MAX_NOTE_CHARS: Final = 256
MAX_LABELS: Final = 16
MAX_LABEL_VALUE_CHARS: Final = 64
MAX_REQUESTS_PER_MINUTE: Final = 10**9
MAX_REQUESTS_PER_DAY: Final = 10**12
MAX_REQUESTS_PER_MONTH: Final = 10**13
MAX_TOKENS: Final = 10**15
MAX_BUDGET_MICROS: Final = 10**15
"""A billion of the currency a month."""

_MOST: Final[Mapping[str, int]] = {
    "requests_per_minute": MAX_REQUESTS_PER_MINUTE,
    "requests_per_day": MAX_REQUESTS_PER_DAY,
    "requests_per_month": MAX_REQUESTS_PER_MONTH,
    "tokens_per_day": MAX_TOKENS,
    "tokens_per_month": MAX_TOKENS,
    "budget_micros_per_month": MAX_BUDGET_MICROS,
    "soft_percent": 100,
}
_NESTED: Final = (
    ("requests_per_minute", "requests_per_day"),
    ("requests_per_minute", "requests_per_month"),
    ("requests_per_day", "requests_per_month"),
    ("tokens_per_day", "tokens_per_month"),
)
"""The first of two would never be reached if it were above the second."""
_LABEL: Final = re.compile(r"[a-z0-9_-]{1,32}")
_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]{1,32}(?:/[A-Za-z0-9_+-]{1,32}){0,2}")
_NO_ZONE: Final = frozenset({"localtime", "posixrules"})
"""Files beside the zones that say what the machine's own is."""
_NANOS: Final = 1_000_000_000
_LAST_SECOND: Final = 253_402_300_799
"""The year 9999's, the contract's last one."""


def parse_limits(fields: Fields, field: str, message: entries_pb.TenantLimits) -> TenantLimits:
    """Return the limits; note what is out of bounds, and a limit that another one of them makes pointless."""
    values = {name: getattr(message, name) for name in _MOST}
    for name, most in _MOST.items():
        fields.between(f"{field}.{name}", values[name], 0, most)
    for lesser, greater in _NESTED:
        agree = not values[lesser] or not values[greater] or values[lesser] <= values[greater]
        fields.require(agree, f"{field}.{lesser}", f"must not be above {greater}")
    return TenantLimits(**values)


def render_limits(limits: TenantLimits) -> entries_pb.TenantLimits:
    """Return the message."""
    return entries_pb.TenantLimits(**{name: getattr(limits, name) for name in _MOST})


def parse_overrides(fields: Fields, messages: Sequence[entries_pb.LimitOverride]) -> tuple[LimitOverride, ...]:
    """Return the overrides, their ends to the microsecond. Whether one has ended is for whoever knows the time."""
    fields.size("overrides", len(messages), 0, MAX_OVERRIDES)
    found = []
    for index, message in enumerate(messages[:MAX_OVERRIDES]):
        field = f"overrides[{index}]"
        limits = parse_limits(fields, f"{field}.limits", message.limits)
        fields.require(limits != NO_LIMITS, f"{field}.limits", "must set a limit")
        seconds, nanos = message.end_time.seconds, message.end_time.nanos
        real = 0 < seconds <= _LAST_SECOND and 0 <= nanos < _NANOS
        fields.require(real, f"{field}.end_time", "must be a time after 1970 and before 10000")
        fields.chars(f"{field}.note", message.note, 0, MAX_NOTE_CHARS)
        found.append(LimitOverride(limits, seconds + round(nanos / 1000) / 1_000_000, message.note))
    return tuple(found)


def render_override(override: LimitOverride) -> entries_pb.LimitOverride:
    """Return the message."""
    message = entries_pb.LimitOverride(limits=render_limits(override.limits), note=override.note)
    message.end_time.FromMicroseconds(round(override.ends_at_s * 1_000_000))
    return message


def parse_key_limits(fields: Fields, messages: Sequence[entries_pb.KeyLimit]) -> tuple[KeyLimit, ...]:
    """Return limits of single credentials, each subject once."""
    fields.size("key_limits", len(messages), 0, MAX_KEY_LIMITS)
    some = messages[:MAX_KEY_LIMITS]
    fields.require(len({each.subject for each in some}) == len(some), "key_limits", "must not name a subject twice")
    for index, message in enumerate(some):
        field = f"key_limits[{index}]"
        fields.chars(f"{field}.subject", message.subject, 1, MAX_SUBJECT_CHARS)
        rate, day = message.requests_per_minute, message.requests_per_day
        fields.between(f"{field}.requests_per_minute", rate, 0, MAX_REQUESTS_PER_MINUTE)
        fields.between(f"{field}.requests_per_day", day, 0, MAX_REQUESTS_PER_DAY)
        fields.require(bool(rate or day), field, "must set a limit")
        agree = not day or rate <= day
        fields.require(agree, f"{field}.requests_per_minute", "must not be above requests_per_day")
    return tuple(KeyLimit(each.subject, each.requests_per_minute, each.requests_per_day) for each in some)


def render_key_limit(limit: KeyLimit) -> entries_pb.KeyLimit:
    """Return the message."""
    return entries_pb.KeyLimit(
        subject=limit.subject,
        requests_per_minute=limit.requests_per_minute,
        requests_per_day=limit.requests_per_day,
    )


def parse_labels(fields: Fields, labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return a tenant's labels, sorted by name."""
    fields.size("labels", len(labels), 0, MAX_LABELS)
    some = sorted(labels.items())[:MAX_LABELS]
    for name, value in some:
        known = bool(_LABEL.fullmatch(name))
        shown = name if known else "(name)"
        fields.require(known, f"labels.{shown}", "must have a name of 1 to 32 characters of a-z, 0-9, _ and -")
        fields.chars(f"labels.{shown}", value, 0, MAX_LABEL_VALUE_CHARS)
    return tuple(some)


def parse_time_zone(fields: Fields, name: str) -> str:
    """Return a zone's name; note one that the time zone database does not have."""
    fields.require(not name or is_time_zone(name), "time_zone", "must be a time zone's name, such as Europe/Berlin")
    return name


def is_time_zone(name: str) -> bool:
    """Return True for a name of the time zone database."""
    if name in _NO_ZONE or not _ZONE.fullmatch(name):
        return False
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; no zone's file; a folder such as `Europe`
        return False
    return True
