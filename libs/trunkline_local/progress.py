"""What a stack tells while it starts, and when a process of it dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pydantic import BaseModel, ConfigDict

from trunkline_local.state import ProcessRecord, ProcessState

UP_LINE: Final = b"null\n"
"""What the supervisor reports after the last `Progress`, when everything is up."""


class Progress(BaseModel):
    """One process changed its state during a start. Travels as a line of JSON from the supervisor."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: ProcessState
    ready: int
    """Processes that are ready."""
    total: int
    elapsed_s: float


OnProgress = Callable[[Progress], None]
OnDeath = Callable[[ProcessRecord], None]
