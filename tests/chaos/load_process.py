"""The generator as seen by whoever disturbs the servers: start it, follow its answers, give it tokens, end it."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.chaos.load import LINE_BYTES
from tests.chaos.load_answer import Account, Answer
from tests.chaos.load_spec import LoadSpec

MAX_ANSWERS: Final = 500_000
END_WITHIN_S: Final = 30.0
ROOT: Final = Path(__file__).parents[2]


class LoadProcess:
    """A running load. Use it as an async context manager: the generator is gone at its end, whatever ends it.

        async with LoadProcess(LoadSpec(streams=streams, seed=7)) as load:
            await load.until(lambda answer: answer.good, within_s=30.0)
            seen = len(load.answers)
            ...  # what is to be survived
            await load.until(lambda answer: answer.good and answer.router == "us-east", within_s=30.0, after=seen)
            account = await load.stop()
        assert [answer for answer in load.answers if not answer.good] == []

    `answers` grows as answers come in, and is bounded by `MAX_ANSWERS`.
    """

    def __init__(self, spec: LoadSpec) -> None:
        self.spec: Final = spec
        self.answers: Final[list[Answer]] = []
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[Account] | None = None
        self._more = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.chaos.load",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
            cwd=ROOT,
            start_new_session=True,  # Ctrl-C reaches us alone; the end of its input ends it
        )
        assert process.stdout is not None
        self._reading = asyncio.create_task(self._read(process.stdout))
        await self._write(self.spec.model_dump_json())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._reading is not None
        if self._process.returncode is None:
            self._process.kill()
        self._reading.cancel()
        await asyncio.gather(self._reading, self._process.wait(), return_exceptions=True)

    async def send_token(self, map_token: bytes, *, streams: Iterable[str] = ()) -> None:
        """Let streams (by default all) send a map token along from now on; empty to stop that."""
        await self._write(json.dumps({"map_token": base64.b64encode(map_token).decode(), "streams": list(streams)}))

    async def until(self, found: Callable[[Answer], bool], *, within_s: float, after: int = 0) -> Answer | None:
        """Wait for the first answer that `found` accepts, from `answers[after]` on; None if none came in time.

        Raises RuntimeError if the generator ends meanwhile.
        """
        seen = after
        try:
            async with asyncio.timeout(within_s):
                while True:
                    while seen < len(self.answers):
                        if found(self.answers[seen]):
                            return self.answers[seen]
                        seen += 1
                    await self._next()
        except TimeoutError:
            return None

    async def stop(self) -> Account:
        """End the schedule, wait for what is in flight, and return the generator's own account."""
        await self._write(json.dumps({"stop": True}))
        return await self.account()

    async def account(self) -> Account:
        """Wait for the end of a load that has one by itself. Raises RuntimeError if the generator failed."""
        assert self._reading is not None
        limit_s = END_WITHIN_S + self.spec.deadline_s + (self.spec.seconds or 0.0)
        async with asyncio.timeout(limit_s):
            return await asyncio.shield(self._reading)

    async def _next(self) -> None:
        assert self._reading is not None
        if self._reading.done():
            raise RuntimeError("the load generator has ended")
        self._more.clear()
        await self._more.wait()

    async def _write(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def _read(self, reader: asyncio.StreamReader) -> Account:
        try:
            while line := await reader.readline():
                values = json.loads(line)
                if isinstance(values, dict):
                    return Account(**values)
                if len(self.answers) >= MAX_ANSWERS:
                    raise RuntimeError(f"more than {MAX_ANSWERS} answers")
                self.answers.append(Answer.from_values(values))
                self._more.set()
            raise RuntimeError("the load generator failed; its own words stand above")
        finally:
            self._more.set()
