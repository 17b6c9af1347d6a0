"""Triton model: QUERY and PASSAGES in, one score for each passage out. See `minilm` beside the model repository."""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

# Triton's stub runs an isolated Python, which leaves out PYTHONPATH; what the operator put there must be found.
_ADDED = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
sys.path[:0] = [str(Path(__file__).resolve().parents[3]), *_ADDED]

# ruff: noqa: E402 - what follows is found only now
import numpy as np
from minilm.encoder import Floats
from minilm.late_interaction import PassageVectors, query_matrix, score
from minilm.serving import ModelConfig, answer, cancelled, invalid, scope_of, texts_of
from minilm.token_cache import cache_key

QUERIES_REMEMBERED = 64
"""A rerank asks in small batches, so the same query comes several times within milliseconds."""


class TritonPythonModel:
    """The Python backend's interface."""

    def initialize(self, args: dict[str, str]) -> None:
        config = ModelConfig(args)
        self._passage_tokens = config.integer("MAX_TOKENS")
        self._query_tokens = config.integer("MAX_QUERY_TOKENS")
        self._encoder = config.encoder()
        self._cache = config.token_cache(self._passage_tokens)
        self._queries: OrderedDict[bytes, Floats] = OrderedDict()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Score request after request; each stops between two passages once nobody waits for it."""
        return [self._answer(request) for request in requests]

    def finalize(self) -> None:
        if self._cache is not None:
            self._cache.close()

    def _answer(self, request: Any) -> Any:
        if request.is_cancelled():
            return cancelled()
        try:
            (query,) = texts_of(request, "QUERY")
            passages = texts_of(request, "PASSAGES")
        except ValueError:
            return invalid("QUERY must be one text, and all texts UTF-8")
        scope = scope_of(request)
        matrix = self._query(scope, query)
        scores = np.empty((1, len(passages)), np.float32)
        for column, passage in enumerate(passages):
            if request.is_cancelled():
                return cancelled()
            scores[0, column] = score(matrix, self._passage(scope, passage))
        return answer("SCORES", scores)

    def _query(self, scope: str, query: str) -> Floats:
        key = cache_key(scope, query, max_tokens=self._query_tokens)
        matrix = self._queries.get(key)
        if matrix is None:
            matrix = query_matrix(self._encoder.run([self._encoder.tokenize(query, max_tokens=self._query_tokens)])[0])
            if scope:
                self._queries[key] = matrix
            while len(self._queries) > QUERIES_REMEMBERED:
                self._queries.popitem(last=False)
        else:
            self._queries.move_to_end(key)
        return matrix

    def _passage(self, scope: str, text: str) -> PassageVectors:
        """Return what the cache remembers, or run the model and remember it."""
        remembered = self._cache is not None and scope
        key = cache_key(scope, text, max_tokens=self._passage_tokens) if remembered else b""
        vectors = self._cache.get(key) if self._cache is not None and remembered else None
        if vectors is None:
            ids = self._encoder.tokenize(text, max_tokens=self._passage_tokens)
            vectors = PassageVectors.of(self._encoder.run([ids])[0])
            if self._cache is not None and remembered:
                self._cache.put(key, vectors)
        return vectors
