"""What the bench of choosing collections asks: CLINC150, embedded by the encoder that the local Triton serves."""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from tests.unit.inference.minilm import encoder

MAX_TOKENS: Final = 256
BATCH: Final = 512
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Labelled texts with their vectors; a label of "" belongs nowhere."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    vectors: Vectors

    def part(self, rows: Sequence[int]) -> Split:
        """Return some of the rows, in the order given."""
        return Split(
            tuple(self.texts[row] for row in rows),
            tuple(self.labels[row] for row in rows),
            self.vectors[np.asarray(rows, dtype=np.intp)],
        )


@dataclass(frozen=True, slots=True)
class Dataset:
    """CLINC150 as 150 collections (intents) or 10 (domains)."""

    name: str
    train: Split
    asked: Split
    outside: Split

    @property
    def collections(self) -> tuple[str, ...]:
        """Names of all collections, ascending."""
        return tuple(sorted(set(self.train.labels)))


def clinc(folder: Path, label: Literal["intent", "domain"]) -> Dataset:
    """Read `train` to learn from, `val` and `oos_val` to be asked, and embed them."""
    return Dataset(
        f"clinc150-{label}",
        *(_split(folder / f"{name}.jsonl", label) for name in ("train", "val", "oos_val")),
    )


def _split(path: Path, label: str) -> Split:
    rows: list[dict[str, Any]] = [json.loads(line) for line in path.read_text().splitlines() if line]
    texts = tuple(str(row["text"]) for row in rows)
    labels = tuple(str(row[label] or "").replace("_", "-") for row in rows)
    return Split(texts, labels, embedded(path.stem, texts))


def embedded(name: str, texts: Sequence[str]) -> Vectors:
    """Return one vector of length 1 for each text; they are kept by content in the temporary folder."""
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    cached = Path(tempfile.gettempdir()) / "trunkline-bench-vectors" / f"minilm-int8-{MAX_TOKENS}-{digest}.npy"
    if cached.is_file():
        return np.asarray(np.load(cached, allow_pickle=False), dtype=np.float32)
    model = encoder.Encoder()
    tokens = [model.tokenize(text, max_tokens=MAX_TOKENS) for text in texts]
    vectors = np.zeros((len(texts), encoder.DIMENSION), dtype=np.float32)
    done = 0
    for batch in encoder.micro_batches([len(ids) for ids in tokens], max_tokens=1024, max_rows=32):
        for row, encoding in zip(batch, model.run([tokens[row] for row in batch]), strict=True):
            vectors[row] = encoding.pooled
        done += len(batch)
        if done % BATCH < len(batch):
            sys.stderr.write(f"\rrouting: embedded {done}/{len(texts)} of {name} ")
            sys.stderr.flush()
    sys.stderr.write("\n")
    cached.parent.mkdir(parents=True, exist_ok=True)
    # np.save adds its suffix to a path without it, so the unfinished file has it too.
    unfinished = cached.with_name(f"{cached.stem}-{hashlib.sha256(vectors.tobytes()).hexdigest()[:8]}.part.npy")
    np.save(unfinished, vectors)
    unfinished.replace(cached)
    return vectors
