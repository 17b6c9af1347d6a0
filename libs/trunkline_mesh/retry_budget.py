"""A budget for retries: they may add a share to the traffic, never multiply it."""

from __future__ import annotations

from typing import Final

from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.rolling_window import RollingWindow


class RetryBudget:
    """Allows retries up to `ratio` of the requests of the last `window_s` seconds, and always `floor` of them.

    A retry storm against a dead dependency thus sends at most `1 + ratio` calls for each request. The rule is the one
    of Finagle's and Envoy's retry budgets (a share of the traffic, with a floor for quiet times). Not thread-safe.
    """

    __slots__ = ("_clock", "_floor", "_ratio", "_requests", "_retries")

    def __init__(self, ratio: float = 0.2, floor: int = 3, window_s: float = 10.0, *, clock: Clock = MONOTONIC) -> None:
        """Take `ratio` 0 to 1 and `floor` 0 or more; raises ValueError otherwise."""
        if not 0 <= ratio <= 1 or floor < 0:
            raise ValueError(f"a retry budget of ratio {ratio} and floor {floor} makes no sense")
        self._ratio: Final = ratio
        self._floor: Final = floor
        self._clock: Final = clock
        self._requests = RollingWindow(window_s)
        self._retries = RollingWindow(window_s)

    def record_request(self) -> None:
        """Count one request; its retries are counted by `try_spend`, not here."""
        self._requests.add(self._clock(), mark=False)

    def try_spend(self) -> bool:
        """Take one retry from the budget; False, and nothing taken, if the budget is spent."""
        now_s = self._clock()
        self._requests.advance(now_s)
        self._retries.advance(now_s)
        if self._retries.total >= max(self._floor, int(self._ratio * self._requests.total)):
            return False
        self._retries.add(now_s, mark=False)
        return True
