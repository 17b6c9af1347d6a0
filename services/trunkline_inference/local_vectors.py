"""Vectors that this process remembers."""

from __future__ import annotations

from collections import OrderedDict

from trunkline_inference.ports import VectorKey

ENTRY_OVERHEAD_BYTES = 512
"""Estimate of what an entry takes beside its vector: key, digest and table."""


class LocalVectors:
    """Least recently used vectors go first once all together take more than a stated size. Vectors never grow stale:
    their key names the model's revision."""

    def __init__(self, *, max_bytes: int) -> None:
        """Start empty; hold at most `max_bytes`."""
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._vectors: OrderedDict[VectorKey, bytes] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        """Return what is held now, as estimated."""
        return self._size_bytes

    def __len__(self) -> int:
        return len(self._vectors)

    def get(self, key: VectorKey) -> bytes | None:
        """Return a vector and remember that it was used."""
        vector = self._vectors.get(key)
        if vector is not None:
            self._vectors.move_to_end(key)
        return vector

    def put(self, key: VectorKey, vector: bytes) -> None:
        """Remember a vector; one that is larger than everything that may be held is not kept."""
        replaced = self._vectors.pop(key, None)
        if replaced is not None:
            self._size_bytes -= len(replaced) + ENTRY_OVERHEAD_BYTES
        self._vectors[key] = vector
        self._size_bytes += len(vector) + ENTRY_OVERHEAD_BYTES
        while self._size_bytes > self._max_bytes:
            _, oldest = self._vectors.popitem(last=False)
            self._size_bytes -= len(oldest) + ENTRY_OVERHEAD_BYTES
