"""The storage port on the embedded engine: worker processes beside the service, one owner for each collection."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from uuid import UUID

import numpy as np

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable, Overloaded, invalid_field
from trunkline_retrieval.engine.config import EngineConfig
from trunkline_retrieval.engine.connection import WorkerGoneError
from trunkline_retrieval.engine.faults import Fault
from trunkline_retrieval.engine.placing import worker_of
from trunkline_retrieval.engine.requests import CountBody, DeleteBody, Place, ScrollBody, SearchBody, UpsertBody
from trunkline_retrieval.engine.supervisor import START_PATIENCE_S, State, Supervisor, WorkerAwayError
from trunkline_retrieval.engine.wire import FrameError, Op
from trunkline_retrieval.engine_rows import hit_of, page_of, point_row, wire_filter
from trunkline_retrieval.errors import BUSY_DELAY_S, LOAD_DELAY_S, RESTART_DELAY_S, EngineTextError, of_engine
from trunkline_retrieval.model import (
    CollectionRef,
    EmbeddedDocument,
    Filter,
    FoundDocument,
    ScrollPage,
    StoreQuery,
    require_one_shelf,
)
from trunkline_retrieval.scoping import own_points, scoped
from trunkline_retrieval.store import StoreUsage
from trunkline_retrieval.vectors import require_vector

_PHYSICAL_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,199}")
"""Physical names become folders, so nothing that means more to a file system may stand in one."""

_MAX_ENSURED: Final = 10_000


class DataDirectoryInUseError(RuntimeError):
    """Another service works on the data directory."""


@dataclass(frozen=True, slots=True)
class EmbeddedBounds:
    """How much may be under way, and how long a call waits for a worker that is away."""

    max_requests_per_worker: int = 64
    max_bytes_per_worker: int = 64 << 20
    read_patience_s: float = 0.5
    """A search waits so long for a worker that starts or builds an index; another region may be quicker."""
    write_patience_s: float = 5.0
    """A write waits longer, because it has to reach every region."""


class EmbeddedStore:
    """A VectorStore whose data lies in one directory of this machine. Use `open`, and `close` at the end."""

    def __init__(self, config: EngineConfig, workers: int, bounds: EmbeddedBounds | None = None) -> None:
        """Start nothing yet; `open` does."""
        self._config = config
        self._bounds = bounds or EmbeddedBounds()
        self._workers = [Supervisor(number, config) for number in range(workers)]
        self._lock: int | None = None
        self._ensured: set[Place] = set()

    @classmethod
    async def open(cls, config: EngineConfig, workers: int, bounds: EmbeddedBounds | None = None) -> Self:
        """Take the data directory, start the workers and wait until they have reported, or START_PATIENCE_S at most.

        Raises DataDirectoryInUseError if another process has the directory.
        """
        store = cls(config, workers, bounds)
        store._lock = await asyncio.to_thread(_lock_directory, Path(config.data_dir))
        for worker in store._workers:
            worker.start()
        try:
            async with asyncio.timeout(START_PATIENCE_S):
                await asyncio.gather(*(worker.running() for worker in store._workers))
        except TimeoutError:
            pass  # `ready` says so, and the workers are still being tried
        except BaseException:
            await store.close()
            raise
        return store

    async def ensure_collection(self, ref: CollectionRef, deadline: Deadline) -> None:
        """See VectorStore."""
        place = _place(ref)
        if place in self._ensured:
            return
        await self._ask(Op.ENSURE, place, place, deadline, self._bounds.write_patience_s)
        if len(self._ensured) >= _MAX_ENSURED:
            self._ensured.clear()
        self._ensured.add(place)

    async def upsert(self, ref: CollectionRef, documents: Sequence[EmbeddedDocument], deadline: Deadline) -> None:
        """See VectorStore."""
        for index, embedded in enumerate(documents):
            require_vector(ref, embedded.vector, f"documents[{index}].values")
        scope = ref.scope
        body = UpsertBody(
            _place(ref),
            scope.key,
            scope.tenant_id,
            scope.collection_id,
            [point_row(scope, embedded.document) for embedded in documents],
            b"".join(embedded.vector.astype(np.float32, copy=False).tobytes() for embedded in documents),
        )
        await self._ask(Op.UPSERT, body.place, body, deadline, self._bounds.write_patience_s)

    async def search(self, ref: CollectionRef, query: StoreQuery, deadline: Deadline) -> Sequence[FoundDocument]:
        """See VectorStore."""
        (hits,) = await self.search_many((ref,), query, deadline)
        return hits

    async def search_many(
        self, refs: Sequence[CollectionRef], query: StoreQuery, deadline: Deadline
    ) -> Sequence[Sequence[FoundDocument]]:
        """See VectorStore."""
        first = require_one_shelf(refs)
        vector = b""
        if query.vector is not None:
            require_vector(first, query.vector, "values")
            vector = query.vector.astype(np.float32, copy=False).tobytes()
        body = SearchBody(
            _place(first),
            [wire_filter(scoped(ref.scope, query.filter)) for ref in refs],
            query.mode.value,
            query.text,
            vector,
            query.limit,
            query.min_score,
            sorted(query.include_fields) or None,
        )
        found = await self._ask(Op.SEARCH, body.place, body, deadline, self._bounds.read_patience_s)
        return [own_points(ref.scope, map(hit_of, rows)) for ref, rows in zip(refs, found, strict=True)]

    async def delete(self, ref: CollectionRef, document_ids: Sequence[str], deadline: Deadline) -> None:
        """See VectorStore."""
        body = DeleteBody(_place(ref), [str(ref.scope.point_id(document_id)) for document_id in document_ids])
        await self._ask(Op.DELETE, body.place, body, deadline, self._bounds.write_patience_s)

    async def scroll(self, ref: CollectionRef, cursor: UUID | None, limit: int, deadline: Deadline) -> ScrollPage:
        """See VectorStore."""
        body = ScrollBody(
            _place(ref), wire_filter(scoped(ref.scope)), str(cursor) if cursor is not None else None, limit
        )
        answer = await self._ask(Op.SCROLL, body.place, body, deadline, self._bounds.read_patience_s)
        return page_of(ref.scope, answer)

    async def count(self, ref: CollectionRef, deadline: Deadline, wanted: Filter | None = None) -> int:
        """See VectorStore."""
        body = CountBody(_place(ref), wire_filter(scoped(ref.scope, wanted)))
        return int(await self._ask(Op.COUNT, body.place, body, deadline, self._bounds.read_patience_s))

    def ready(self) -> bool:
        """See VectorStore."""
        return all(worker.ready() for worker in self._workers)

    def usage(self) -> StoreUsage:
        """See VectorStore."""
        disk = os.statvfs(self._config.data_dir)
        under_way = max(worker.requests_under_way for worker in self._workers)
        return StoreUsage(
            free_bytes=max(0, disk.f_bavail * disk.f_frsize - self._config.min_free_bytes),
            pressure=min(1.0, under_way / self._bounds.max_requests_per_worker),
        )

    def worker_pids(self) -> Sequence[int | None]:
        """Return the workers' process ids, None for one that is being started."""
        return [worker.pid for worker in self._workers]

    async def close(self) -> None:
        """See VectorStore."""
        await asyncio.gather(*(worker.close() for worker in self._workers))
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    async def _ask(self, op: Op, place: Place, body: Any, deadline: Deadline, patience_s: float) -> Any:
        """Ask the worker that owns the place, and turn what goes wrong into domain errors."""
        worker = self._workers[worker_of(place.physical_name, len(self._workers))]
        bounds = self._bounds
        if (
            worker.requests_under_way >= bounds.max_requests_per_worker
            or worker.bytes_under_way >= bounds.max_bytes_per_worker
        ):
            raise Overloaded("the store has too much under way", retry_delay_s=LOAD_DELAY_S)
        try:
            fault, answer = await worker.ask(op, body, deadline, patience_s)
        except WorkerAwayError as exc:
            if exc.state is State.BUSY:
                raise BackendUnavailable("the store is busy", retry_delay_s=BUSY_DELAY_S) from exc
            raise BackendUnavailable("the store is restarting", retry_delay_s=RESTART_DELAY_S) from exc
        except WorkerGoneError as exc:
            raise BackendUnavailable("the store restarted", retry_delay_s=RESTART_DELAY_S) from exc
        except TimeoutError as exc:
            raise BackendTimeout from exc
        except FrameError as exc:
            raise invalid_field("documents", "too large together") from exc
        if fault is not Fault.NONE:
            raise of_engine(fault) from EngineTextError(answer)
        return answer


def _place(ref: CollectionRef) -> Place:
    if _PHYSICAL_NAME.fullmatch(ref.physical_name) is None:
        raise ValueError("a physical name is letters, digits, '_' and '-'")
    return Place(ref.physical_name, ref.space_id, ref.dimension)


def _lock_directory(data_dir: Path) -> int:
    """Make the directory and lock it for this process; the lock goes with the process, however it ends."""
    data_dir.mkdir(parents=True, exist_ok=True)
    lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(lock)
        raise DataDirectoryInUseError(f"{data_dir} is in use by another service") from exc
    return lock
