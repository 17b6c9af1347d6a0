"""A process of its own for each command, forked from one that has imported the command already.

A fresh interpreter spends most of a second on imports before it looks at its arguments. A fork has its own folder,
environment, arguments, streams, main thread and exit code all the same.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path
from pkgutil import iter_modules
from tempfile import TemporaryDirectory
from typing import Final

from trunkline_cli import commands
from trunkline_cli.__main__ import main

Ended = tuple[int, str, str]
_CONTEXT: Final = get_context("forkserver")
# What most commands need. The threads of grpc start with the first channel, so a fork finds none. pytest is the main
# module where tests run without workers, and a fork imports its parent's main module.
_CONTEXT.set_forkserver_preload(
    [
        "trunkline_cli.app",
        *(each.name for each in iter_modules(commands.__path__, "trunkline_cli.commands.")),
        "trunkline_local",
        "trunkline_policy",
        "pytest",
    ]
)


async def forked(arguments: Sequence[str], *, home: Path, env: Mapping[str, str], within_s: float = 60.0) -> Ended:
    """Run `trunkline` with these arguments in the folder `home`.

    Returns its exit code (the negative number of a signal that ended it), stdout and stderr.
    Raises TimeoutError, after killing it, when it has not ended within `within_s`.
    """
    with TemporaryDirectory() as scratch:
        out, err = Path(scratch, "out"), Path(scratch, "err")
        process = _CONTEXT.Process(target=_run, args=(list(arguments), home, dict(env), out, err))
        process.start()
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(process.sentinel, ended.set)
        try:
            await asyncio.wait_for(ended.wait(), within_s)
        finally:
            asyncio.get_running_loop().remove_reader(process.sentinel)
            process.kill()
            process.join()
        assert process.exitcode is not None
        return process.exitcode, _read(out), _read(err)


def _read(stream: Path) -> str:
    return stream.read_text()


def _run(arguments: list[str], home: Path, env: dict[str, str], out: Path, err: Path) -> None:
    for stream, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), stream)
    os.chdir(home)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["trunkline", *arguments]
    main()
