"""What came of one look at a tenant's feedback."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Learned:
    """What was done, or why nothing was."""

    outcome: str
    """In words."""
    rollout_id: str = ""
    live_success: float = 0.0
    """Right answers of the live policy on held-back feedback, 0 to 1."""
    proposal_success: float = 0.0
    sample_count: int = 0
    """Held-back samples."""
    label: str = "nothing"
    """For the metric: one of few."""
