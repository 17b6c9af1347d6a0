"""Runs the `trunkline` command as a user does: a process of its own, in a folder of its own.

Most tests ask what a command does, so their process is forked with the command imported; what only the whole process
shows - its start, signals, its exit - is asked of a fresh one.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.cli.forked import forked


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What it printed for programs."""
        return json.loads(self.out)


class Command:
    """The command with the environment that its user has; variables of this machine are left out."""

    def __init__(self, home: Path, env: Mapping[str, str]) -> None:
        own = {key: value for key, value in os.environ.items() if not key.startswith("TRUNKLINE_")}
        self.env = {**own, "XDG_STATE_HOME": str(home / "state"), **env}
        self.home = home

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start the command in a fresh interpreter."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "trunkline_cli",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.home,
            env=self.env,
        )

    async def __call__(self, *arguments: str) -> Done:
        """Run the command in a fork."""
        return Done(*await forked(arguments, home=self.home, env=self.env))

    async def fresh(self, *arguments: str) -> Done:
        """Run the command in a fresh interpreter, as a shell does."""
        process = await self.start(*arguments)
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), err.decode())


class Map(Command):
    """`trunkline map` as operator."""

    async def data(self, *arguments: str) -> Any:
        """Run a command that must succeed; return the entry, or the entries."""
        done = await self("map", *arguments, "--json")
        assert done.code == 0, (arguments, done.out, done.err)
        assert bytes.fromhex(done.data["map_token"])
        return done.data.get("entry") or done.data["entries"]

    async def run(self, *arguments: str) -> Done:
        """Run a command that must succeed."""
        done = await self(*arguments)
        assert done.code == 0, (arguments, done.out, done.err)
        return done
