"""Adapter: training in a child process of its own, bounded in time and memory."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Final

from trunkline_map.blob import MAX_BLOB_BYTES
from trunkline_map.entries import SpaceEntry
from trunkline_mesh.logs import get_logger
from trunkline_policy.basis import BasisText
from trunkline_policy.head import HeadSet
from trunkline_routing.learner import child_wire
from trunkline_routing.learner.ports import Matrix, TrainingFailedError

log = get_logger("learner")

_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Linear algebra must not take the processors that serve: nor may its order of sums depend on their number."""


class ChildTrainer:
    """Implements `ports.Trainer`. A child is started for each head: while nothing is trained there is none."""

    def __init__(self, *, timeout_s: float, memory_bytes: int) -> None:
        """Give each training at most so much time and address space."""
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes

    async def train(self, texts: Sequence[BasisText], vectors: Matrix, space: SpaceEntry) -> HeadSet:
        """As `ports.Trainer.train`."""
        content = await self._run(await asyncio.to_thread(child_wire.encode, texts, vectors, space))
        try:
            return HeadSet.from_bytes(content)
        except ValueError as exc:
            raise TrainingFailedError("no head") from exc

    async def _run(self, task: bytes) -> bytes:
        # asyncio forks from the loop's thread, which is the main one, and executes at once.
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "trunkline_routing.learner.train_child",
            str(max(1, int(self._timeout_s))), str(self._memory_bytes),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, **_ONE_THREAD},
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._timeout_s):
                content, _ = await child.communicate(task)
        except TimeoutError as exc:
            raise TrainingFailedError("too slow") from exc
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode != 0 or len(content) > MAX_BLOB_BYTES:
            log.warning("training failed", state=str(child.returncode), size_bytes=len(content))
            raise TrainingFailedError("the child failed")
        return content
