"""What the commands of `trunkline map` share: asking the control role, and showing entries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from trunkline_cli.output import Output, one_line
from trunkline_cli.target import Target, TargetOptions
from trunkline_client import ControlClient, Versioned


def map_target(control: str | None, token: str | None, token_file: Path | None, run_dir: Path | None) -> Target:
    """Return where the control role is and with which credential to ask it."""
    return Target(TargetOptions(run_dir=run_dir, control=control, token=token, token_file=token_file))


def ask(target: Target, work: Callable[[ControlClient], Awaitable[Versioned[Any]]]) -> Versioned[Any]:
    """Run `work` with a client of the control role. Raises CliError, TrunklineError."""

    async def run() -> Versioned[Any]:
        async with target.control() as client:
            return await work(client)

    return asyncio.run(run())


def show_entry(out: Output, found: Versioned[Message]) -> None:
    """Print one entry, a line for each of its fields."""
    entry = plain(found.value)
    for key, value in entry.items():
        out.line(f"{key}: {value}")
    out.data({"entry": entry, "map_token": found.map_token.hex()})


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
