"""Changes and events of the map as text for people and as plain data for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline_cli.map_view import entry_line, plain
from trunkline_cli.output import Output, one_line
from trunkline_client import Versioned

_PREFIX = "ENTRY_KIND_"
_UNTOLD = frozenset({"revision"})
"""Changes with every change, so it tells nothing."""


def show_changes(out: Output, changes: Sequence[changes_pb.MapChange]) -> None:
    """Print changes, the latest first: who, when, how, and each field from what to what."""
    for change in changes:
        for number, line in enumerate(change_lines(change)):
            out.line(line, style="" if number else "bold")
    if not changes:
        out.line("no change is known")
    out.data({"changes": [plain(change) for change in changes]})


def change_lines(change: changes_pb.MapChange) -> Iterator[str]:
    """Yield a change as lines: one that sums it up, then one for each field that differs."""
    when = change.change_time.ToDatetime().isoformat(sep=" ", timespec="seconds")
    method = change.method.rpartition("/")[2]
    urgent = ", urgent" if change.urgent else ""
    approved = f", approved by {change.approver}" if change.approver else ""
    comment = f': "{one_line(change.comment, 256)}"' if change.comment else ""
    yield f"{when} {name_of(change.entry)} by {change.actor} ({method}){urgent}{approved}{comment}"
    if not change.HasField("after"):
        yield "    removed"
    elif not change.HasField("before"):
        yield f"    added {one_line(str(dict(_told(change.after))), 300)}"
    else:
        for field, before, after in differences(dict(_told(change.before)), dict(_told(change.after))):
            yield f"    {field}: {_value(before)} -> {_value(after)}"


def show_change(out: Output, subject: str, before: Message | None, found: Versioned[Message], *, dry_run: bool) -> None:
    """Print what a change made of an entry, field by field, or would make of it in a dry run."""
    then = dict(_plain_fields(before)) if before is not None else {}
    changed = [*differences(then, dict(_plain_fields(found.value)))]
    done = "would be " if dry_run else ""
    verb = "created" if before is None else "changed"
    out.line(f"{subject} {done}{verb}" if changed else f"{subject} is so already", style="bold")
    for field, was, now in changed:
        out.line(f"    {field}: {_value(was)} -> {_value(now)}")
    out.data(
        {
            "entry": plain(found.value),
            "changes": [{"field": field, "before": was, "after": now} for field, was, now in changed],
            "dry_run": dry_run,
            "map_token": found.map_token.hex(),
        }
    )


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield the fields that differ, sorted: name, before, after; parts of a field have names with dots."""
    for field in sorted({*before, *after}):
        was, now = before.get(field), after.get(field)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from ((f"{field}.{part}", old, new) for part, old, new in differences(was, now))
        elif was != now:
            yield field, was, now


def _value(value: object) -> str:
    return "(none)" if value is None else one_line(str(value), 200)


def _told(entry: changes_pb.MapEntry) -> Iterator[tuple[str, Any]]:
    message = entry_of(entry)
    if message is not None:
        yield from _plain_fields(message)


def _plain_fields(message: Message) -> Iterator[tuple[str, Any]]:
    return ((field, value) for field, value in plain(message).items() if field not in _UNTOLD)


def entry_of(entry: changes_pb.MapEntry) -> Message | None:
    """Return the entry's own message; None for a kind that this program does not know."""
    kind = entry.WhichOneof("kind")
    found: Message | None = getattr(entry, kind) if kind else None
    return found


def name_of(name: changes_pb.EntryName) -> str:
    """Return an entry's name, for example `collection acme/notes`."""
    kind = changes_pb.EntryKind.Name(name.kind).removeprefix(_PREFIX).lower()
    return f"{kind} {'/'.join(part for part in (name.tenant_id, name.entry_id) if part)}"


def event_line(event: changes_pb.MapEvent) -> str:
    """Return an event on one line."""
    if event.caught_up:
        return f"up to date, token {event.map_token.hex()}"
    if event.HasField("removed"):
        return f"removed {name_of(event.removed)}"
    message = entry_of(event.written)
    kind = event.written.WhichOneof("kind") or "entry of an unknown kind"
    return f"written {kind} {entry_line(plain(message)) if message is not None else ''}".rstrip()


def event_data(event: changes_pb.MapEvent) -> Mapping[str, Any]:
    """Return an event as plain data, the token in hexadecimal."""
    return {**plain(event), "map_token": event.map_token.hex()}
