"""The physical collections that a worker holds: opened on first use, created whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    KeywordIndexParams,
    Modifier,
    UpdateOperation,
)

from trunkline_retrieval.engine.config import EngineConfig
from trunkline_retrieval.engine.faults import EngineError, Fault, fault_of
from trunkline_retrieval.engine.points import KEYWORDS, SCOPE
from trunkline_retrieval.engine.requests import Place
from trunkline_retrieval.engine.wire import Notice

_FIRST_LOCK_WAIT_S: Final = 0.02


@dataclass(slots=True)
class OpenCollection:
    """A physical collection in this worker's hands."""

    shard: EdgeShard
    space_id: str
    dimension: int
    unindexed_points: int
    """Points written since the index was last seen to be whole; an upper bound."""


class Collections:
    """Opens, creates, closes and optimizes physical collections. At most `max_open_collections` stay open."""

    def __init__(self, config: EngineConfig, worker: int, announce: Callable[[Notice], None]) -> None:
        """Clear what an earlier life of this worker left half made. `announce` tells the service of long work."""
        self._config = config
        self._announce = announce
        self._root = Path(config.data_dir) / "collections"
        self._half_made = Path(config.data_dir) / f"creating-{worker}"
        shutil.rmtree(self._half_made, ignore_errors=True)
        self._root.mkdir(parents=True, exist_ok=True)
        self._open: OrderedDict[str, OpenCollection] = OrderedDict()

    def find(self, place: Place) -> OpenCollection | None:
        """Return the physical collection, or None if it does not exist.

        Raises EngineError: SPACE_MISMATCH if it holds other vectors, LOCKED if another process holds it.
        """
        found = self._open.get(place.physical_name)
        if found is None:
            if not (self._root / place.physical_name).is_dir():
                return None
            found = self._load(place.physical_name)
        else:
            self._open.move_to_end(place.physical_name)
        if (found.space_id, found.dimension) != (place.space_id, place.dimension):
            raise EngineError(Fault.SPACE_MISMATCH)
        return found

    def find_or_create(self, place: Place) -> OpenCollection:
        """Return the physical collection, made if need be."""
        found = self.find(place)
        if found is not None:
            return found
        self._create(place)
        return self._load(place.physical_name)

    def close(self) -> None:
        """Close everything."""
        while self._open:
            self._open.popitem()[1].shard.close()

    def due_for_optimizing(self) -> OpenCollection | None:
        """Return a collection whose index is worth building or renewing."""
        threshold = self._config.optimize_after_points
        if threshold == 0:
            return None
        return next((one for one in self._open.values() if one.unindexed_points >= threshold), None)

    def optimize(self, collection: OpenCollection) -> None:
        """Build the index. Holds up the whole worker, so the service is told before and after."""
        self._announce(Notice.BUSY)
        try:
            collection.shard.optimize()
            collection.unindexed_points = 0
        finally:
            self._announce(Notice.IDLE)

    def _create(self, place: Place) -> None:
        """Make the collection aside and move it into place, so that a crash leaves all of it or nothing."""
        aside = self._half_made / place.physical_name
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        shard = EdgeShard.create(str(aside / "shard"), _engine_config(self._config, place.space_id, place.dimension))
        shard.update(UpdateOperation.create_field_index(SCOPE, KeywordIndexParams(is_tenant=True)))
        shard.flush()
        shard.close()
        with (aside / "meta.json").open("w") as meta:
            json.dump({"space_id": place.space_id, "dimension": place.dimension}, meta)
            meta.flush()
            os.fsync(meta.fileno())
        aside.rename(self._root / place.physical_name)
        _sync_directory(self._root)

    def _load(self, physical_name: str) -> OpenCollection:
        folder = self._root / physical_name
        meta = json.loads((folder / "meta.json").read_text())
        engine_config = _engine_config(self._config, meta["space_id"], meta["dimension"])
        self._announce(Notice.BUSY)  # replaying a long log takes a while
        try:
            shard = self._load_when_unlocked(folder / "shard", engine_config)
        finally:
            self._announce(Notice.IDLE)
        loaded = OpenCollection(shard, meta["space_id"], meta["dimension"], shard.info().points_count)
        self._open[physical_name] = loaded
        while len(self._open) > self._config.max_open_collections:
            self._open.popitem(last=False)[1].shard.close()
        return loaded

    def _load_when_unlocked(self, folder: Path, engine_config: EdgeConfig) -> EdgeShard:
        """Load, trying again for a while where the worker that this one replaces has not let go yet."""
        give_up_at = time.monotonic() + self._config.lock_patience_s
        wait_s = _FIRST_LOCK_WAIT_S
        while True:
            try:
                return EdgeShard.load(str(folder), engine_config)
            except Exception as exc:
                # The engine raises bare `Exception`; its text is told apart in `fault_of`.
                if fault_of(exc) is not Fault.LOCKED or time.monotonic() + wait_s > give_up_at:
                    raise
            time.sleep(wait_s)  # the lock gives no signal that could be awaited
            wait_s *= 2


def _engine_config(config: EngineConfig, space_id: str, dimension: int) -> EdgeConfig:
    return EdgeConfig(
        vectors={space_id: EdgeVectorParams(size=dimension, distance=Distance.Cosine)},
        sparse_vectors={KEYWORDS: EdgeSparseVectorParams(modifier=Modifier.Idf)},
        max_search_threads=config.search_threads,
    )


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
