"""all-MiniLM-L6-v2 on ONNX Runtime: texts to token ids, token ids to vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from tokenizers import Tokenizer

from minilm import files

Floats = npt.NDArray[np.float32]

DIMENSION = 384
CLS_ID = 101
SEP_ID = 102
PAD_ID = 0
MAX_CHARS = 4096
"""Characters of a text that are looked at: several times what the token cap keeps of English, and few enough that
tokenizing the longest allowed text costs no more than running the model on it."""


@dataclass(frozen=True)
class Encoding:
    """One text after the model."""

    pooled: Floats
    """Mean of all token vectors, of length 1: the embedding."""
    tokens: Floats
    """One row of length 1 for each token but [CLS] and [SEP]; none for a text of white space."""


class Encoder:
    """Tokenizer and graph. One thread a session: parallel work comes from instances, which do not wait for each other.

    Weights are int8 and arithmetic is float32, so a text's vector does not depend on what it shares a batch with.
    """

    def __init__(self, *, threads: int = 1, provider: str = "CPUExecutionProvider") -> None:
        """Load both files and run the model once, so that the first request does not pay for set-up.

        `provider` is where ONNX Runtime computes; it must be one of those that the installed runtime has.
        """
        self._tokenizer = Tokenizer.from_file(str(files.tokenizer_path()))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(str(files.graph_path()), options, providers=[provider])
        self.run([[CLS_ID, SEP_ID]])

    def tokenize(self, text: str, *, max_tokens: int) -> list[int]:
        """Return the ids of the beginning of a text, [CLS] and [SEP] included, at most `max_tokens`."""
        ids: list[int] = self._tokenizer.encode(text[:MAX_CHARS]).ids
        return ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], SEP_ID]

    def run(self, batch: Sequence[Sequence[int]]) -> list[Encoding]:
        """Run the model on token ids, padded to the longest of them."""
        longest = max(map(len, batch))
        ids = np.full((len(batch), longest), PAD_ID, np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(batch):
            ids[row, : len(text)] = text
            mask[row, : len(text)] = 1
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = np.asarray(self._session.run(["last_hidden_state"], feeds)[0], np.float32)
        return [_encoding(hidden[row, : len(text)]) for row, text in enumerate(batch)]


def _encoding(hidden: Floats) -> Encoding:
    return Encoding(pooled=_unit(hidden.mean(axis=0)), tokens=_unit(hidden[1:-1]))


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)


def micro_batches(lengths: Sequence[int], *, max_tokens: int, max_rows: int) -> list[list[int]]:
    """Group texts by length into batches of at most `max_rows` rows and `max_tokens` ids after padding.

    Every index appears once; a text longer than `max_tokens` is alone. On one core a batch saves the fixed cost of a
    run for short texts and loses cache locality for long ones, so both bounds are small.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        last = batches[-1] if batches else []
        # Sorted ascending, so this text is the longest of the batch and sets its width.
        if last and len(last) < max_rows and (len(last) + 1) * lengths[index] <= max_tokens:
            last.append(index)
        else:
            batches.append([index])
    return batches
