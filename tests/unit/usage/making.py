"""Records and journals for tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from trunkline_usage.append_log import AppendLog
from trunkline_usage.records import OK, StageUse, UsageRecord, line_of
from trunkline_usage.segment_writer import LogSpec

NOON_S = 1_795_262_400.0
"""2026-11-21 12:00 UTC."""
SPEC = LogSpec("usage", "r1", "eu-west", "eu", 1 << 20, 3600)


@dataclass
class Clock:
    """A wall clock that tests move."""

    at_s: float = NOON_S

    def __call__(self) -> float:
        return self.at_s


def record(
    request_id: str = "r-1",
    *,
    tenant_id: str = "acme",
    at_s: float = NOON_S,
    outcome: str = OK,
    stages: Sequence[StageUse] = (StageUse("embedding", "", 1, 1, 20), StageUse("search", "notes", 1, 1, 0)),
    labels: tuple[tuple[str, str], ...] = (("team", "blue"),),
    time_zone: str = "",
    price_version: str = "1",
    kind: str = "search",
    digest: str = "",
) -> UsageRecord:
    return UsageRecord(
        request_id=request_id,
        tenant_id=tenant_id,
        at_s=at_s,
        region="eu-west",
        kind=kind,
        stages=tuple(stages),
        labels=labels,
        price_version=price_version,
        outcome=outcome,
        time_zone=time_zone,
        digest=digest,
    )


def write(folder: Path, records: Iterable[UsageRecord], *, spec: LogSpec = SPEC, journal: str = "") -> None:
    """Write a journal as a process that ends afterwards does; the folder must have none yet."""
    folder.mkdir(parents=True, exist_ok=True)
    log = AppendLog(folder, spec, number=1, journal=journal)
    for each in records:
        assert log.append(line_of(each, log.next_number))
    log.close()


_names = st.text(max_size=12)
_counts = st.integers(0, 10**12)
stage_uses = st.builds(
    StageUse, st.sampled_from(["search", "embedding", "rerank", "write"]), _names, _counts, _counts, _counts
)
any_records = st.builds(
    UsageRecord,
    request_id=_names,
    tenant_id=_names,
    at_s=st.integers(0, 4_102_444_800_000_000).map(lambda at_us: at_us / 1e6),
    region=_names,
    kind=st.sampled_from(["search", "write"]),
    stages=st.lists(stage_uses, max_size=4).map(tuple),
    labels=st.lists(st.tuples(_names, _names), max_size=3).map(tuple),
    price_version=_names,
    outcome=st.sampled_from([OK, "OVERLOADED"]),
    time_zone=st.sampled_from(["", "UTC", "Europe/Berlin"]),
    digest=st.sampled_from(["", "0123456789abcdef"]),
)
"""Anything that can be written."""
few_records = st.builds(
    record,
    st.sampled_from(["a", "b", "c"]),
    tenant_id=st.sampled_from(["acme", "zeta"]),
    at_s=st.sampled_from([NOON_S, NOON_S + 1, NOON_S + 12 * 3600]),
    outcome=st.sampled_from([OK, "OVERLOADED"]),
    stages=st.lists(
        st.builds(StageUse, st.sampled_from(["search", "write"]), st.just("notes"), *[st.integers(0, 3)] * 3),
        max_size=2,
    ).map(tuple),
    labels=st.sampled_from([(), (("team", "blue"),), (("team", "red"),)]),
    time_zone=st.sampled_from(["", "Pacific/Auckland"]),
    kind=st.sampled_from(["search", "search", "write"]),
    digest=st.sampled_from(["", "0123456789abcdef", "fedcba9876543210"]),
)
"""Records that often repeat each other, or are other requests under the same id."""
