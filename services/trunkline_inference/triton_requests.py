"""What is sent to Triton: few texts at a time, and whose they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from typing import Final

import numpy as np
from tritonclient.grpc import InferInput

MAX_TEXTS: Final = 4
"""Texts of one request: the models' `max_batch_size`, and few enough that a query does not wait long behind one."""
MAX_BYTES: Final = 1024
"""Bytes of texts in one request, if there is more than one: about the tokens of one long passage."""
MAX_PASSAGES: Final = 8
"""Passages of one request for scores."""
SCOPE_PARAMETER: Final = "token_cache_scope"
"""Names whose passages they are, so that their token vectors are kept apart (see deploy/triton/minilm)."""


def chunks(texts: Sequence[str]) -> list[Sequence[str]]:
    """Cut texts into runs of at most `MAX_TEXTS` texts and `MAX_BYTES` bytes; a longer text is alone. Keeps order."""
    bounds = [0, *_cuts(texts), len(texts)]
    return [texts[start:end] for start, end in pairwise(bounds)]


def _cuts(texts: Sequence[str]) -> Iterator[int]:
    count, size_bytes = 0, 0
    for index, text in enumerate(texts):
        text_bytes = len(text.encode())
        if count and (count == MAX_TEXTS or size_bytes + text_bytes > MAX_BYTES):
            yield index
            count, size_bytes = 0, 0
        count += 1
        size_bytes += text_bytes


def text_input(name: str, texts: Sequence[str], shape: tuple[int, int]) -> InferInput:
    """Return texts as an input of a model."""
    tensor = InferInput(name, shape, "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode() for text in texts], dtype=np.object_).reshape(shape))
    return tensor


@lru_cache(maxsize=4096)
def scope_of(tenant_id: str) -> str:
    """Return the scope of a tenant's passages: its name does not travel."""
    return sha256(tenant_id.encode()).hexdigest()[:32]
