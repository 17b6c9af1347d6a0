"""Triton model: TEXT in, one vector of 384 numbers and length 1 out. See `minilm` beside the model repository."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

# Triton's stub runs an isolated Python, which leaves out PYTHONPATH; what the operator put there must be found.
_ADDED = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
sys.path[:0] = [str(Path(__file__).resolve().parents[3]), *_ADDED]

# ruff: noqa: E402 - what follows is found only now
import numpy as np
from minilm.encoder import Encoding, micro_batches
from minilm.late_interaction import PassageVectors
from minilm.serving import ModelConfig, answer, cancelled, invalid, scope_of, texts_of
from minilm.token_cache import cache_key


class Job:
    """One request: its texts' ids on the way in, their vectors on the way out."""

    def __init__(self, request: Any) -> None:
        self.request = request
        self.scope = scope_of(request)
        self.texts: list[str] = []
        self.vectors: list[Any] = []
        self.error: Any = None
        try:
            self.texts = texts_of(request, "TEXT")
        except ValueError:
            self.error = invalid("TEXT is not UTF-8")
        self.vectors = [None] * len(self.texts)

    def wanted(self) -> bool:
        """False once the caller has left or its time is over; then nothing more is computed for it."""
        if self.error is None and self.request.is_cancelled():
            self.error = cancelled()
        return self.error is None

    def response(self) -> Any:
        return self.error if self.error is not None else answer("EMBEDDING", np.stack(self.vectors))


class TritonPythonModel:
    """The Python backend's interface."""

    def initialize(self, args: dict[str, str]) -> None:
        config = ModelConfig(args)
        self._max_tokens = config.integer("MAX_TOKENS")
        self._batch_tokens = config.integer("MICRO_BATCH_TOKENS")
        self._batch_rows = config.integer("MICRO_BATCH_ROWS")
        self._encoder = config.encoder()
        self._cache = config.token_cache(self._max_tokens)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Embed the texts of several requests together, short ones side by side, and skip abandoned requests."""
        jobs = [Job(request) for request in requests]
        places = [(job, index) for job in jobs if job.wanted() for index in range(len(job.texts))]
        ids = [self._encoder.tokenize(job.texts[index], max_tokens=self._max_tokens) for job, index in places]
        batches = micro_batches(list(map(len, ids)), max_tokens=self._batch_tokens, max_rows=self._batch_rows)
        for batch in batches:
            live = [i for i in batch if places[i][0].wanted()]
            if live:
                for i, encoding in zip(live, self._encoder.run([ids[i] for i in live]), strict=True):
                    job, index = places[i]
                    job.vectors[index] = encoding.pooled
                    self._remember(job, job.texts[index], encoding)
        return [job.response() for job in jobs]

    def finalize(self) -> None:
        if self._cache is not None:
            self._cache.close()

    def _remember(self, job: Job, text: str, encoding: Encoding) -> None:
        """Leave a passage's token vectors to the model that reranks."""
        if self._cache is not None and job.scope:
            key = cache_key(job.scope, text, max_tokens=self._max_tokens)
            self._cache.put(key, PassageVectors.of(encoding))
