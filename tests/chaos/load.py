"""A load generator in a process of its own: `python -m tests.chaos.load < SPEC`. Started by `load_process.LoadProcess`.

It shares no event loop and no interpreter lock with what disturbs the servers, and says at the end how far behind its
own schedule it was.

Standard input: first a `LoadSpec` as one line of JSON, then commands, each a line of JSON:
    {"map_token": BASE64, "streams": [NAME, ...]}   send this token along from now on; all streams without `streams`
    {"stop": true}                                  no further arrivals; what is in flight is waited for
Its end is a stop as well, so the generator never outlives whoever started it.

Standard output: a line for each answer, a JSON array with the fields of `load_answer.Answer` in their order, and at the
end one JSON object, the `load_answer.Account`. Whoever starts it must read: it keeps no answers.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Final

from tests.chaos.load_answer import Answer
from tests.chaos.load_asker import Asker
from tests.chaos.load_loop import Tally, closed_loop, open_loop
from tests.chaos.load_spec import LoadSpec

LINE_BYTES: Final = 4 << 20
"""Longest line that either side takes: a specification with all its questions."""


async def commands(reader: asyncio.StreamReader, askers: Sequence[Asker], stop: asyncio.Event) -> None:
    """Do as the lines say until one says stop, or there are no more."""
    try:
        while line := await reader.readline():
            command = json.loads(line)
            if command.get("stop"):
                return
            token = base64.b64decode(command["map_token"])
            names = command.get("streams") or [asker.stream.name for asker in askers]
            for asker in askers:
                if asker.stream.name in names:
                    asker.read_after(token)
    finally:
        stop.set()


def tell(answer: Answer) -> None:
    """Write an answer at once: whoever reads may be waiting for just this one."""
    sys.stdout.buffer.write(answer.to_line())
    sys.stdout.buffer.flush()


async def run() -> None:
    """Generate the load that standard input describes."""
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    spec = LoadSpec.model_validate_json(await reader.readline())
    stop, tally = asyncio.Event(), Tally(tell)
    async with AsyncExitStack() as stack:
        askers = [await stack.enter_async_context(Asker(stream, spec.deadline_s)) for stream in spec.streams]
        gc.freeze()  # what was loaded so far need not be looked through while time is measured
        listening = asyncio.create_task(commands(reader, askers, stop))
        try:
            loop = closed_loop if spec.closed_in_flight else open_loop
            seconds = await loop(spec, askers, stop, tally)
        finally:
            listening.cancel()
            [problem] = await asyncio.gather(listening, return_exceptions=True)
        if isinstance(problem, Exception):
            raise problem  # a command that could not be understood
    sys.stdout.buffer.write(json.dumps(asdict(tally.account(seconds))).encode() + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(run())
