"""How the workers are set up. Crosses the process boundary as JSON on the worker's command line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Set-up of the workers; every worker gets the same."""

    data_dir: str
    """Directory of all physical collections."""
    search_threads: int = 1
    """Threads of the engine for one collection. One costs the least processor time: on two cores, 5,000 points and
    384 dimensions, the engine's default of one a core takes three times as much for the same query."""
    min_free_bytes: int = 256 << 20
    """A write that would leave less free space is refused: the engine dies by SIGBUS on a full disk."""
    max_open_collections: int = 256
    """Physical collections that a worker holds open; the least recently used is closed to make room."""
    optimize_after_points: int = 50_000
    """Points written to a collection before its index is built or renewed; 0 for never. Building stops every other
    answer of the worker (16,000 points of 384 dimensions: 16 s), and until 50,000 points a search without an index
    takes a few milliseconds."""
    optimize_idle_s: float = 30.0
    """The worker must have been idle for so long before it starts that."""
    lock_patience_s: float = 2.0
    """How long a collection that another process still holds is tried again: a worker that was just replaced."""

    def to_json(self) -> str:
        """Return the set-up for a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> EngineConfig:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))
