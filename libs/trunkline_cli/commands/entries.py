"""Commands that every kind of entry has, besides those in which kinds differ: list, get, delete, watch, history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Final

import typer
from google.protobuf.message import Message

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline_cli.change_view import event_data, event_line, show_changes
from trunkline_cli.exits import CliError, Exit
from trunkline_cli.groups import At, How, YesOption, confirm, grouped
from trunkline_cli.map_view import show_entries, show_entry
from trunkline_client import ControlClient, Versioned
from trunkline_client.control import HowToChange

MAX_HISTORY: Final = 100_000

EntryName = Annotated[str, typer.Argument(help="Its name.")]
AnyName = Annotated[str, typer.Argument(help="Its name; all of them without.")]
LimitOption = Annotated[
    int, typer.Option("--limit", min=1, max=MAX_HISTORY, help="How many changes, the latest first.")
]
AfterOption = Annotated[
    str, typer.Option("--after", help="Map token in hexadecimal, as other commands print it: tell what changed since.")
]


@dataclass(frozen=True, slots=True)
class Kind:
    """How a kind of entry that belongs to no tenant is read and changed."""

    noun: str
    read: Callable[[ControlClient, str], Awaitable[Versioned[Message]]]
    read_all: Callable[[ControlClient], Awaitable[Versioned[Sequence[Message]]]]
    delete: Callable[[ControlClient, str, HowToChange], Awaitable[bytes]]
    changes: Callable[[ControlClient, str, int], Awaitable[Sequence[changes_pb.MapChange]]]
    watch: Callable[[ControlClient, bytes], AsyncGenerator[changes_pb.MapEvent, None]]


REGION: Final = Kind(
    "region",
    lambda client, name: client.region(name),
    lambda client: client.regions(),
    lambda client, name, how: client.delete_region(name, how=how),
    lambda client, name, limit: client.region_changes(name, limit=limit),
    lambda client, after: client.watch_regions(after),
)
SPACE: Final = Kind(
    "space",
    lambda client, name: client.space(name),
    lambda client: client.spaces(),
    lambda client, name, how: client.delete_space(name, how=how),
    lambda client, name, limit: client.space_changes(name, limit=limit),
    lambda client, after: client.watch_spaces(after),
)
TENANT: Final = Kind(
    "tenant",
    lambda client, name: client.tenant(name),
    lambda client: client.tenants(),
    lambda client, name, how: client.delete_tenant(name, how=how),
    lambda client, name, limit: client.tenant_changes(name, limit=limit),
    lambda client, after: client.watch_tenants(after),
)


def add_common(group: typer.Typer, kind: Kind) -> None:
    """Give a group of commands what every kind has."""
    noun = kind.noun

    def list_them(at: At) -> None:
        show_entries(at.out(), at.ask(kind.read_all))

    def get(name: EntryName, at: At) -> None:
        show_entry(at.out(), at.ask(lambda client: kind.read(client, name)))

    def delete(name: EntryName, at: At, how: How, yes: YesOption = False) -> None:
        options = how.to_client()
        if not how.dry_run:
            confirm(f"Remove the {noun} {name} from the map?", yes=yes, at=at)
        show_removed(at, f"{noun} {name}", at.ask(lambda client: kind.delete(client, name, options)), how)

    def history(
        at: At,
        name: AnyName = "",
        limit: LimitOption = 20,
    ) -> None:
        show_changes(at.out(), at.ask(lambda client: kind.changes(client, name, limit)))

    def watch(at: At, after: AfterOption = "") -> None:
        tell(at, lambda client: kind.watch(client, token_of(after)))

    examples = {"list": "", "get": " NAME", "delete": ' NAME --comment "closed" --yes', "history": " NAME --limit 5"}
    add(group, "list", list_them, f"List the {noun}s.", f"trunkline {noun} list --json")
    add(group, "get", get, f"Read one {noun}.", f"trunkline {noun} get{examples['get']}")
    add(
        group,
        "delete",
        delete,
        f"Remove a {noun}; refused while something relies on it.",
        f"trunkline {noun} delete{examples['delete']}",
    )
    add(
        group,
        "history",
        history,
        f"Tell who changed a {noun}, when, and from what to what.",
        f"trunkline {noun} history{examples['history']}",
    )
    add(group, "watch", watch, f"Tell every change of {noun}s as it happens, until Ctrl-C.", f"trunkline {noun} watch")


def add(group: typer.Typer, name: str, command: Callable[..., None], help_text: str, example: str) -> None:
    """Add a command with its help, which ends with an example."""
    group.command(name, help=f"{help_text}\n\nExample: {example}")(grouped(command))


def show_removed(at: At, subject: str, map_token: bytes, how: How) -> None:
    """Print that something was removed, or would be."""
    out = at.out()
    out.line(f"{subject} {'would be removed' if how.dry_run else 'removed'}")
    out.data({"removed": subject, "dry_run": how.dry_run, "map_token": map_token.hex()})


def token_of(after: str) -> bytes:
    """Return the token that was given in hexadecimal. Raises CliError."""
    try:
        return bytes.fromhex(after)
    except ValueError:
        raise CliError("--after must be a map token in hexadecimal", code=Exit.USAGE) from None


def tell(at: At, watch: Callable[[ControlClient], AsyncGenerator[changes_pb.MapEvent, None]]) -> None:
    """Print events until the user stops it: a line each, or one JSON object on each line."""
    out = at.out()

    async def run() -> None:
        async with at.target().control() as client, aclosing(watch(client)) as events:
            async for event in events:
                out.line(event_line(event), style="dim" if event.caught_up else "")
                out.data(event_data(event))
                out.flush()

    asyncio.run(run())
