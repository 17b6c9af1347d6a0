"""Training in a child process: the same bytes each time, bounded, and nothing left behind."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest

from trunkline_map.testing import space
from trunkline_policy.basis import BasisText
from trunkline_routing.learner import child_wire
from trunkline_routing.learner.ports import Matrix, TrainingFailedError
from trunkline_routing.learner.trainer import ChildTrainer

SPACE = space(dimension=32)


def labelled(targets: int = 4, each: int = 15) -> tuple[Sequence[BasisText], Matrix]:
    """Return examples around a centre for each target."""
    rng = np.random.default_rng(7)
    centres = rng.normal(size=(targets, 32))
    texts = [BasisText("collection", f"c{t}", "example", f"{t} {n}") for t in range(targets) for n in range(each)]
    rows = np.repeat(centres, each, axis=0) + rng.normal(scale=0.5, size=(targets * each, 32))
    return texts, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


async def test_the_same_basis_gives_the_same_bytes() -> None:
    """A linear head, where there are enough examples."""
    trainer = ChildTrainer(timeout_s=120, memory_bytes=4 << 30)
    texts, vectors = labelled()
    first, second = await trainer.train(texts, vectors, SPACE), await trainer.train(texts, vectors, SPACE)
    assert first.kind == "linear"
    assert first.to_bytes() == second.to_bytes()
    assert first.decide(vectors[0].tolist()).collections.candidates[0].name == "c0"


async def test_training_ends_when_its_time_is_over() -> None:
    """The child is killed, and the next one can begin."""
    trainer = ChildTrainer(timeout_s=0.05, memory_bytes=4 << 30)
    began_s = time.monotonic()
    with pytest.raises(TrainingFailedError):
        await trainer.train(*labelled(), SPACE)
    assert time.monotonic() - began_s < 30


async def test_training_gets_no_more_memory_than_it_may_have() -> None:
    """It fails; nobody else does."""
    with pytest.raises(TrainingFailedError):
        await ChildTrainer(timeout_s=60, memory_bytes=1 << 26).train(*labelled(), SPACE)


def test_tasks_survive_the_pipe() -> None:
    """Texts of any script, and vectors to the bit."""
    texts, vectors = labelled(2, 3)
    odd = [BasisText("out_of_scope", "", "example", '日本語 "\n'), *texts[1:]]
    task = child_wire.decode(child_wire.encode(odd, vectors, SPACE))
    assert task.texts == tuple(odd)
    assert np.array_equal(task.vectors, vectors)
    assert task.space.space_id == SPACE.space_id


@pytest.mark.parametrize("frame", [b"", b"abc", b"\xff\xff\xff\xff{}"])
def test_other_frames_are_refused(frame: bytes) -> None:
    """As values, not as crashes."""
    with pytest.raises(ValueError):
        child_wire.decode(frame)
