"""What goes to the child process that trains and comes back: one frame each way, no pickle."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trunkline_map.entries import SpaceEntry
from trunkline_policy.basis import BasisText
from trunkline_routing.learner.ports import Matrix

_LENGTH: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Task:
    """A head to train."""

    texts: tuple[BasisText, ...]
    vectors: Matrix
    space: SpaceEntry


def encode(texts: Sequence[BasisText], vectors: Matrix, space: SpaceEntry) -> bytes:
    """Return the task as bytes: length, JSON, then the vectors' rows as float32."""
    head = {
        "texts": [[text.family, text.target, text.kind, text.text] for text in texts],
        "space": [space.space_id, space.model_id, space.model_revision, space.dimension],
    }
    content = json.dumps(head).encode()
    return b"".join((_LENGTH.pack(len(content)), content, np.ascontiguousarray(vectors, dtype="<f4").tobytes()))


def decode(frame: bytes) -> Task:
    """Return the task of `encode`; raises ValueError for anything else."""
    if len(frame) < _LENGTH.size:
        raise ValueError("a frame begins with its length")
    (length,) = _LENGTH.unpack_from(frame)
    try:
        head: dict[str, Any] = json.loads(frame[_LENGTH.size : _LENGTH.size + length])
        space = SpaceEntry(*head["space"])
        texts = tuple(BasisText(*text) for text in head["texts"])
    except (KeyError, TypeError) as exc:
        raise ValueError("no task") from exc
    vectors = np.frombuffer(frame, dtype="<f4", offset=_LENGTH.size + length).reshape(len(texts), space.dimension)
    return Task(texts, vectors, space)
