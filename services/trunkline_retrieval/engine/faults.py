"""What can go wrong in a worker, as codes that cross the process boundary; the engine's texts stay behind it.

The engine raises bare `Exception` with text, so the text is matched here and nowhere else.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Fault(IntEnum):
    """Outcome of one job. Values are part of the wire between service and worker, which are always of one version."""

    NONE = 0
    """It was done."""
    EXPIRED = 1
    """Its deadline passed before its turn; nothing was run."""
    CANCELLED = 2
    """Its caller left before its turn; nothing was run."""
    SPACE_MISMATCH = 3
    """The physical collection holds vectors of another space or dimension."""
    STORAGE_FULL = 4
    """The write would leave less free space than the reserve; nothing was written."""
    LOCKED = 5
    """Another process still holds the physical collection."""
    TOO_LARGE = 6
    """The answer is larger than a frame may be."""
    ENGINE_FAILED = 7
    """The engine failed. Whether a write was applied is unknown; it may be repeated."""


class EngineError(Exception):
    """A job failed in a way that has a code."""

    def __init__(self, fault: Fault) -> None:
        """Keep the code."""
        super().__init__(fault.name)
        self.fault = fault


_TEXTS: Final = (
    ("Vector dimension error", Fault.SPACE_MISMATCH),
    ("Not existing vector name", Fault.SPACE_MISMATCH),
    ("WouldBlock", Fault.LOCKED),
    ("No space left on device", Fault.STORAGE_FULL),
    ("OutOfMemory", Fault.STORAGE_FULL),
)
"""Texts of qdrant-edge-py 0.9.0, most specific first."""


def fault_of(exc: Exception) -> Fault:
    """Return the code of an exception that the engine or the file system raised."""
    if isinstance(exc, EngineError):
        return exc.fault
    text = str(exc)
    for part, fault in _TEXTS:
        if part in text:
            return fault
    return Fault.ENGINE_FAILED
