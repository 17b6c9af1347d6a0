"""Shows entries of the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from trunkline_cli.output import Output, one_line
from trunkline_client import Versioned


def show_entry(out: Output, found: Versioned[Message]) -> None:
    """Print one entry, a line for each of its fields."""
    entry = plain(found.value)
    for key, value in entry.items():
        out.line(f"{key}: {value}")
    out.data({"entry": entry, "map_token": found.map_token.hex()})


def show_entries(out: Output, found: Versioned[Sequence[Message]]) -> None:
    """Print a line for each entry."""
    entries = [plain(entry) for entry in found.value]
    for entry in entries:
        out.line(entry_line(entry))
    out.data({"entries": entries, "map_token": found.map_token.hex()})


def plain(entry: Message) -> Mapping[str, Any]:
    """Return an entry as plain data, with the contract's names."""
    found: Mapping[str, Any] = MessageToDict(entry, preserving_proto_field_name=True)
    return found


def entry_line(entry: Mapping[str, Any]) -> str:
    """Return an entry on one line, its name first."""
    names = ("region_id", "collection_id", "space_id", "tenant_id")
    name = next((str(entry[key]) for key in names if key in entry), "")
    rest = {key: value for key, value in entry.items() if str(value) != name}
    return f"{name}: {one_line(', '.join(f'{key}={value}' for key, value in rest.items()), 400)}"
