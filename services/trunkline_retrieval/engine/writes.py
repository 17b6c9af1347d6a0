"""Writing to the engine: several queued writes share one flush, and only then are they acknowledged."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

from qdrant_edge import UpdateOperation

from trunkline_retrieval.engine.collections import Collections, OpenCollection
from trunkline_retrieval.engine.config import EngineConfig
from trunkline_retrieval.engine.faults import EngineError, Fault, fault_of
from trunkline_retrieval.engine.jobs import Job
from trunkline_retrieval.engine.points import to_points
from trunkline_retrieval.engine.requests import DeleteBody, Place, UpsertBody
from trunkline_retrieval.engine.wire import Op

_GROWTH: Final = 4
"""Bytes on disk for a byte of a write: log, vectors, payload and indexes, rounded up."""

Outcome = tuple[Job, Fault, str | None]
"""A job, how it ended, and the engine's text where it failed."""


class Writer:
    """Applies groups of writes."""

    def __init__(self, collections: Collections, config: EngineConfig) -> None:
        """Write to `collections`."""
        self._collections = collections
        self._config = config
        self._apply: dict[int, Callable[[Any], OpenCollection | None]] = {
            Op.ENSURE: self._ensure,
            Op.UPSERT: self._upsert,
            Op.DELETE: self._delete,
        }

    def run(self, group: Sequence[Job]) -> list[Outcome]:
        """Apply the jobs in order, flush what they touched, and say how each ended.

        A failing job does not fail the others; a failing flush fails all that need it, because a write is
        acknowledged only once it is on disk: the engine alone survives the process's death, not the machine's.
        """
        outcomes: list[Outcome] = []
        touched: dict[int, tuple[OpenCollection, list[Job]]] = {}
        for job in group:
            try:
                collection = self._run_one(job)
            except Exception as exc:  # noqa: BLE001 - the engine raises bare `Exception`
                outcomes.append((job, fault_of(exc), str(exc)))
                continue
            if collection is None:
                outcomes.append((job, Fault.NONE, None))
            else:
                touched.setdefault(id(collection), (collection, []))[1].append(job)
        for collection, jobs in touched.values():
            fault, text = _flush(collection)
            outcomes.extend((job, fault, text) for job in jobs)
        return outcomes

    def _run_one(self, job: Job) -> OpenCollection | None:
        """Apply one job; return the collection to flush, if any."""
        if job.op != Op.DELETE:
            self._require_room(job.size_bytes)
        return self._apply[job.op](job.body)

    def _ensure(self, body: Any) -> None:
        self._collections.find_or_create(Place(*body))

    def _upsert(self, raw: Any) -> OpenCollection:
        body = UpsertBody(*raw)
        body = body._replace(place=Place(*body.place))
        collection = self._collections.find_or_create(body.place)
        points = to_points(body)
        collection.shard.update(UpdateOperation.upsert_points(points))
        collection.unindexed_points += len(points)
        return collection

    def _delete(self, raw: Any) -> OpenCollection | None:
        body = DeleteBody(*raw)
        collection = self._collections.find(Place(*body.place))
        if collection is not None:
            ids: list[UUID | str | int] = list(body.point_ids)
            collection.shard.update(UpdateOperation.delete_points(ids))
        return collection

    def _require_room(self, size_bytes: int) -> None:
        """Refuse what would fill the disk: a full one kills the process by SIGBUS instead of raising an error."""
        disk = os.statvfs(self._config.data_dir)
        if disk.f_bavail * disk.f_frsize < self._config.min_free_bytes + _GROWTH * size_bytes:
            raise EngineError(Fault.STORAGE_FULL)


def _flush(collection: OpenCollection) -> tuple[Fault, str | None]:
    try:
        collection.shard.flush()
    except Exception as exc:  # noqa: BLE001 - the engine raises bare `Exception`
        return fault_of(exc), str(exc)
    return Fault.NONE, None
