"""How long a passage takes to score, as learned from those that were scored."""

from __future__ import annotations

from typing import Final

SMOOTHING: Final = 0.3
"""Weight of the newest measurement."""
MIN_PACE_S: Final = 1e-6


class Pace:
    """Exponentially weighted mean of the seconds for one passage.

    It differs a hundredfold between passages that the model server remembers and those that it has to run, so it is a
    first guess for a request, which then trusts what it measures itself.
    """

    def __init__(self, initial_s: float) -> None:
        """Start from a guess."""
        self._mean_s = max(initial_s, MIN_PACE_S)

    @property
    def s_per_passage(self) -> float:
        """Return the current mean."""
        return self._mean_s

    def learn(self, elapsed_s: float, passages: int) -> None:
        """Add the measurement of one batch."""
        measured_s = max(elapsed_s / passages, MIN_PACE_S)
        self._mean_s += SMOOTHING * (measured_s - self._mean_s)

    def learn_at_least(self, elapsed_s: float, passages: int) -> None:
        """Add a batch that was cut off after `elapsed_s`: it would have taken longer, so it never lowers the mean."""
        self.learn(max(elapsed_s, self._mean_s * passages), passages)
