"""Which worker owns a physical collection."""

from __future__ import annotations

from zlib import crc32


def worker_of(physical_name: str, workers: int) -> int:
    """Return the number of the worker, 0 to `workers` - 1; the same in every process and at every start.

    Data does not lie by worker, so their number may change between starts.
    """
    return crc32(physical_name.encode()) % workers
