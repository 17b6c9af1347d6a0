"""Sends what changed to a collection, in bounded batches, and notes what was acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from trunkline_cli.ingest.documents import Source
from trunkline_cli.ingest.state import IngestState, Sent, digest_of
from trunkline_client import MAX_DELETE_IDS, Document, TrunklineClient, TrunklineError, upsert_batches
from trunkline_text import ChunkPolicy, FileLimits

T = TypeVar("T")

_PATIENCE_S: Final = 120.0
_FIRST_PAUSE_S: Final = 0.25
_MAX_PAUSE_S: Final = 10.0
_SAVE_EVERY_S: Final = 2.0
_READ_AHEAD: Final = 4


@dataclass(slots=True)
class IngestReport:
    """What an ingestion did."""

    files: int = 0
    written: int = 0
    unchanged: int = 0
    vanished: int = 0
    deleted: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestPlan:
    """What to send, where and how."""

    collection: str
    policy: ChunkPolicy
    limits: FileLimits
    workers: int = 2
    """Batches under way at once; more only queue at the encoder."""
    deadline_s: float = 30.0
    prune: bool = False


OnProgress = Callable[[int, int, IngestReport], None]


class Ingestion:
    """One run over a source. Stopped at any moment, the next run sends the rest."""

    def __init__(
        self, client: TrunklineClient, source: Source, state: IngestState, plan: IngestPlan, told: OnProgress
    ) -> None:
        self._client = client
        self._source = source
        self._state = state
        self._plan = plan
        self._told = told
        self._saved_s = time.monotonic()
        self._seen: set[str] = set()
        self.report = IngestReport()

    async def run(self) -> IngestReport:
        """Send what changed, then delete what vanished if the plan says so. Raises TrunklineError, OSError."""
        queue: asyncio.Queue[Sequence[Document] | None] = asyncio.Queue(_READ_AHEAD)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(queue))
                for _ in range(self._plan.workers):
                    group.create_task(self._write(queue))
            await self._finish()
        finally:
            self._state.save()
        self.report.problems = list(self._source.problems)
        return self.report

    async def _read(self, queue: asyncio.Queue[Sequence[Document] | None]) -> None:
        changed: list[Document] = []
        for path in self._source.files:
            # Parsing is CPU work: in a thread, so that connections stay alive meanwhile.
            documents = await asyncio.to_thread(self._source.documents, path, self._plan.policy, self._plan.limits)
            self.report.files += 1
            changed += self._changed(documents)
            *full, changed = [*map(list, upsert_batches(changed))] or [[]]
            for batch in full:
                await queue.put(batch)
            self._told(self.report.files, len(self._source.files), self.report)
        if changed:
            await queue.put(changed)
        for _ in range(self._plan.workers):
            await queue.put(None)

    def _changed(self, documents: Sequence[Document]) -> Iterator[Document]:
        for document in documents:
            known = self._state.sent.get(document.document_id)
            self._seen.add(document.document_id)
            if known is not None and known.digest == digest_of(document):
                self.report.unchanged += 1
            else:
                yield document

    async def _write(self, queue: asyncio.Queue[Sequence[Document] | None]) -> None:
        while (batch := await queue.get()) is not None:
            await insistently(
                partial(self._client.upsert, self._plan.collection, batch, deadline_s=self._plan.deadline_s)
            )
            for document in batch:
                source = str(document.fields.get("source", ""))
                self._state.sent[document.document_id] = Sent(digest_of(document), source)
            self.report.written += len(batch)
            self._save_sometimes()
            self._told(self.report.files, len(self._source.files), self.report)

    async def _finish(self) -> None:
        gone = [
            name
            for name, item in self._state.sent.items()
            if name not in self._seen and item.source not in self._source.unread
        ]
        self.report.vanished = len(gone)
        if not self._plan.prune or not self._source.complete:
            return
        for start in range(0, len(gone), MAX_DELETE_IDS):
            names = gone[start : start + MAX_DELETE_IDS]
            await insistently(
                partial(self._client.delete, self._plan.collection, names, deadline_s=self._plan.deadline_s)
            )
            for name in names:
                del self._state.sent[name]
            self.report.deleted += len(names)

    def _save_sometimes(self) -> None:
        if time.monotonic() - self._saved_s >= _SAVE_EVERY_S:
            self._state.save()
            self._saved_s = time.monotonic()


async def insistently(call: Callable[[], Awaitable[T]], *, patience_s: float = _PATIENCE_S) -> T:
    """Call until it succeeds, with the pauses that the server names; raise what a repeat cannot cure.

    The client has its own few repeats within a deadline; an ingestion has the time to wait out a busy minute, but
    begins no new try after `patience_s`.
    """
    gives_up_s = time.monotonic() + patience_s
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return await call()
        except TrunklineError as exc:
            delay_s = max(exc.retry_delay_s or 0.0, pause_s)
            if not exc.retryable or time.monotonic() + delay_s >= gives_up_s:
                raise
        await asyncio.sleep(delay_s)
        pause_s = min(pause_s * 2.0, _MAX_PAUSE_S)
