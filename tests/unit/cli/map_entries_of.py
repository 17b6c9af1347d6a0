"""Map files of any content, as hypothesis makes them, and as short as a test can read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st

from trunkline_cli.mapfile.limit_values import LIMIT_FIELDS
from trunkline_cli.mapfile.live import LiveMap
from trunkline_cli.mapfile.messages import entry_with, message_key
from trunkline_cli.mapfile.parse import MapFile, read_map_file
from trunkline_cli.mapfile.schema import (
    ENDPOINT_KINDS,
    LAYOUTS,
    PREFERENCES,
    STATES,
    TENANT_STATES,
    EntryKind,
    Values,
)
from trunkline_cli.mapfile.write import MapFileWriter
from trunkline_cli.stages import SWITCHES

# Words that YAML readers take for something else are names of the map all the same.
names = st.one_of(
    st.sampled_from(["no", "on", "y", "null", "true", "007", "1e3", "-", "--", "0x1f"]),
    st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12),
)
jurisdictions = st.one_of(st.sampled_from(["no", "eu", "us"]), st.text("abcyzno019-", min_size=1, max_size=6))
models = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/:-]{0,40}", fullmatch=True)
endpoints = st.sampled_from(["10.0.0.1:7101", "router.eu-west.example:443", "[2001:db8::1]:7101", "localhost:1"])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def sets(of: st.SearchStrategy[str], least: int) -> st.SearchStrategy[list[str]]:
    return st.lists(of, min_size=least, max_size=3, unique=True).map(sorted)


def _ordered(found: list[dict[str, str]]) -> list[dict[str, str]]:
    fields = ("store_id", "endpoint", "tenant_id")
    by_name = sorted(found, key=lambda store: store["store_id"])
    return [{field: store[field] for field in fields if field in store} for store in by_name]


stores = st.lists(
    st.fixed_dictionaries(
        {"store_id": names, "endpoint": st.sampled_from(["10.0.0.9:6334", "engine:second"])},
        optional={"tenant_id": names},
    ),
    max_size=4,
    unique_by=lambda store: store["store_id"],
).map(_ordered)
addresses = st.dictionaries(st.sampled_from(ENDPOINT_KINDS), st.lists(endpoints, min_size=1, max_size=3)).map(
    lambda found: {kind: found[kind] for kind in ENDPOINT_KINDS if kind in found}
)
stages = sets(st.sampled_from([*SWITCHES, "77"]), 0)
lines = st.text(st.characters(exclude_categories=("C", "Z")), max_size=20)
label_names = st.from_regex(r"[a-z0-9_-]{1,32}", fullmatch=True)
limits = st.fixed_dictionaries({}, optional={name: st.integers(1, 100) for name in LIMIT_FIELDS}).map(
    lambda found: {name: found[name] for name in LIMIT_FIELDS if name in found}
)
overrides = st.builds(
    lambda limits, end, note: {"limits": limits, "end": end, **({"note": note} if note else {})},
    limits,
    st.integers(0, 2**33).map(lambda seconds: Timestamp(seconds=seconds).ToJsonString()),
    lines,
)
key_limits = st.builds(
    lambda subject, rate, day: {
        name: value
        for name, value in (("subject", subject), ("requests_per_minute", rate), ("requests_per_day", day))
        if value
    },
    lines.filter(bool),
    st.integers(0, 9),
    st.integers(0, 9),
)
regions = st.fixed_dictionaries(
    {
        "region_id": names,
        "jurisdiction": jurisdictions,
        "state": st.sampled_from(STATES),
        "endpoints": addresses,
        "stores": stores,
        "ramp_s": st.integers(0, 3600 * 10**9).map(lambda nanoseconds: nanoseconds / 1e9),
        "disabled_stages": stages,
    }
)
spaces = st.fixed_dictionaries(
    {"space_id": names, "model_id": models, "model_revision": models, "dimension": st.integers(1, 4096)}
)
tenants = st.fixed_dictionaries(
    {
        "tenant_id": names,
        "tier": names,
        "jurisdictions": sets(jurisdictions, 1),
        "state": st.sampled_from(TENANT_STATES),
        "quota_tokens_per_s": st.integers(0, 10**12),
        "limits": limits,
        "overrides": st.lists(overrides, max_size=3),
        "shadow_limits": limits,
        "key_limits": st.lists(key_limits, max_size=3, unique_by=lambda each: each["subject"]),
        "time_zone": st.sampled_from(["", "Europe/Berlin", "Etc/GMT+3"]),
        "labels": st.dictionaries(label_names, lines, max_size=3).map(lambda found: dict(sorted(found.items()))),
        "disabled_stages": stages,
    }
)
collections = st.fixed_dictionaries(
    {
        "tenant_id": names,
        "collection_id": names,
        "space_id": names,
        "placement": st.lists(names, min_size=1, max_size=8, unique=True),
        "jurisdictions": sets(jurisdictions, 1),
        "layout": st.sampled_from(LAYOUTS),
        "shard": st.integers(0, 1023),
        "preference": st.sampled_from(PREFERENCES),
        "region_stores": st.dictionaries(names, names, max_size=4).map(lambda found: dict(sorted(found.items()))),
        "description": texts,
    }
).map(lambda values: values if values["layout"] == "shared" else {**values, "shard": 0})

entries = {
    EntryKind.REGION: regions,
    EntryKind.SPACE: spaces,
    EntryKind.TENANT: tenants,
    EntryKind.COLLECTION: collections,
}


def written(path: Path, found: Sequence[tuple[EntryKind, Values]], comments: Sequence[str] = ()) -> Path:
    """Write a map file with these entries."""
    with path.open("w", encoding="utf-8") as stream:
        writer = MapFileWriter(stream, comments)
        for kind, values in found:
            writer.entry(kind, values)
    return path


def file_of(path: Path, text: str) -> MapFile:
    """Read a map file of this text."""
    path.write_text(text, encoding="utf-8")
    return read_map_file(path)


def live_of(file: MapFile, revision: int = 7) -> LiveMap:
    """Return a live map that is as the file says, every entry of this revision."""
    live = LiveMap(map_token=b"\x08\x01")
    for kind, found in file.entries.items():
        for each in found.values():
            message: Any = getattr(entry_with(kind, each.values, None), kind)
            message.revision = revision
            live.entries[kind][message_key(message)] = message
    return live
