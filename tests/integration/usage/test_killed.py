"""Processes that answer are killed again and again; the account has every answered request once, and no other."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from tests.integration.usage.answering import ATTEMPT, METHOD, documents_of

from trunkline_usage.account import Wanted, account
from trunkline_usage.ledger import open_ledger
from trunkline_usage.records import OK
from trunkline_usage.scan import Scan

ROOT = Path(__file__).parents[3]
KILLS = 6
CALLERS = 12


class Replica:
    """One process and its successors."""

    def __init__(self, root: Path, name: str) -> None:
        self._command = [sys.executable, "-m", "tests.integration.usage.answering", str(root), name]
        self.port = 0
        self.start()
        self.wait()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def wait(self) -> None:
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        assert self._process.wait(10) == -signal.SIGKILL
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[list[Replica]]:
    """Two processes over one folder of journals."""
    with ExitStack() as stack:
        started = []
        for name in ("r1", "r2"):
            replica = Replica(tmp_path, name)
            stack.callback(replica.kill)
            started.append(replica)
        yield started


class Callers:
    """Ask with ids of their own, and again with the same id until there is an answer."""

    def __init__(self, replicas: list[Replica]) -> None:
        self._replicas = replicas
        self._ids = map(str, itertools.count(1))
        self.asked: set[str] = set()
        self.answered: list[str] = []
        self.repeated = 0
        self.stopping = False
        self._changed = asyncio.Condition()

    async def until(self, answers: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.answered) >= answers)

    async def run(self, seed: int) -> None:
        turns = itertools.count(seed)
        while not self.stopping:
            request_id = next(self._ids)
            self.asked.add(request_id)
            attempts = itertools.count(1)
            while not await self._ask(request_id, next(attempts), next(turns)):
                self.repeated += 1
            async with self._changed:
                self.answered.append(request_id)
                self._changed.notify_all()

    async def _ask(self, request_id: str, attempt: int, turn: int) -> bool:
        port = self._replicas[turn % len(self._replicas)].port
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
            try:
                answer = await call(request_id.encode(), timeout=2, metadata=((ATTEMPT, str(attempt)),))
            except grpc.aio.AioRpcError:
                return False
        return bool(answer == request_id.encode())


async def test_every_answered_request_is_billed_once(tmp_path: Path, replicas: list[Replica]) -> None:
    """None that was not asked, retried ones once, with what their answer used."""
    callers, chance = Callers(replicas), random.Random(5)
    work = [asyncio.ensure_future(callers.run(seed)) for seed in range(CALLERS)]
    for _ in range(KILLS):
        await callers.until(len(callers.answered) + chance.randint(20, 120))
        victim = chance.choice(replicas)
        victim.kill()
        victim.start()
        await asyncio.to_thread(victim.wait)
    callers.stopping = True
    await asyncio.gather(*work)

    scan = Scan([tmp_path])
    records = [record for record, _ in scan.records()]
    assert scan.findings.whole
    assert scan.findings.torn == 0
    assert {record.request_id for record in records} == callers.asked == set(callers.answered)
    assert {record.request_id for record in records if record.outcome == OK} == callers.asked
    assert len(records) > len(callers.answered)
    assert callers.repeated

    made = account([tmp_path], Wanted())
    documents = sum(map(documents_of, callers.answered))
    assert made.requests == {"acme": len(callers.answered)}
    assert [(a.count, a.tokens, a.cost_micros) for _, a in made.lines] == [(documents, documents, 10 * documents)]
    with open_ledger(None, tmp_path) as ledger:
        assert ledger.refresh(60)
        [day] = {heading.day for heading, _ in made.lines}
        used = ledger.used("acme", day, day)
    assert used.requests == len(callers.answered)
    assert list(used.lines) == list(made.lines)
