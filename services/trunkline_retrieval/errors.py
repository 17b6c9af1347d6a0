"""What the embedded engine's failures mean to callers. No text of the engine passes through into a message.

`engine.faults` turns the engine's exceptions into codes inside the worker; `qdrant_errors` does the same for a Qdrant
server, apart from here so that its client library is imported only where it is used.
"""

from __future__ import annotations

from typing import Final

from trunkline_mesh.errors import (
    BackendTimeout,
    BackendUnavailable,
    DomainError,
    SpaceMismatch,
    StorageFull,
    invalid_field,
)
from trunkline_retrieval.engine.faults import Fault

RESTART_DELAY_S: Final = 1.0
"""RetryInfo for a store that is starting again."""
BUSY_DELAY_S: Final = 5.0
"""RetryInfo for a store that builds an index."""
LOAD_DELAY_S: Final = 0.2
"""RetryInfo for a store with too much under way."""


class EngineTextError(Exception):
    """The engine's own text on a failure: for the log, as the cause of what the caller gets."""


def answer_too_large() -> DomainError:
    """Return the refusal of a search whose answer no message can carry."""
    return invalid_field("limit", "the answer would be too large; ask for fewer hits or name the fields to include")


def of_engine(fault: Fault) -> DomainError:
    """Return what callers get for a worker's fault."""
    if fault is Fault.SPACE_MISMATCH:
        return SpaceMismatch()
    if fault is Fault.STORAGE_FULL:
        return StorageFull()
    if fault is Fault.EXPIRED:
        return BackendTimeout()
    if fault is Fault.TOO_LARGE:
        return answer_too_large()
    if fault is Fault.LOCKED:
        return BackendUnavailable("the store is restarting", retry_delay_s=RESTART_DELAY_S)
    return BackendUnavailable("the store failed")
