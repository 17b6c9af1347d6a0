"""Finds how many calls a server should run at once, from how long they take.

Calls that take more than twice what they take unhindered have begun to wait for each other behind the limiter: fewer
at once would be served as fast. So the limit falls by a part (multiplicative decrease) and, while it is needed and
calls are quick, rises by its root (after Netflix' Gradient2, github.com/Netflix/concurrency-limits).

What they take unhindered is the shortest that was surely seen. It never rises by itself: under mild overload that
would be a slow drift upward (concurrency-limits #134, #165). It rises only by a trial: if calls take as long with fewer
at once, it is not for each other that they wait. Trials also find a base that was learned in overload. They are as rare
as they are useless, come at random times, and look at a part of the limit instead of pinning it to the floor (Envoy
#8337).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from trunkline_mesh.latency_window import STALE_WINDOW_S, LatencyWindow

TOLERANCE: Final = 2.0
"""Times the base that calls may take before the limit falls."""
CALM: Final = 1.5
"""Times the base up to which it may rise."""
DECREASE: Final = 0.7
LARGEST_DECREASE: Final = 0.4
"""What is left of the limit when it falls, and at least is left however long calls took."""
TRIAL_PART: Final = 0.5
"""Of the slots in use, what a trial leaves."""
TELLING_PART: Final = 0.6
"""Fewer slots than this part of former ones can tell whether calls wait for each other."""
SURE_ERRORS: Final = 1.5
"""Standard errors by which a difference must stand out to count."""
SETTLING_MEANS: Final = 2.0
"""After a change of the limit, what ends in so many times the mean is of the time before."""
FIRST_TRIAL_S: Final = 180.0
MAX_TRIAL_PAUSE_S: Final = 3600.0
FLOOR_TRIAL_PAUSE_S: Final = 10.0
MAX_SETTLING_S: Final = 5.0
MAX_KINDS: Final = 64


@dataclass(slots=True)
class _Look:
    """How long calls took with so many slots in use, before these became fewer or more."""

    kind: str
    used: float
    mean_s: float
    error_s: float
    slots: int
    at_s: float

    def tells(self, window: LatencyWindow) -> bool | None:
        """Return True if calls wait for each other, by what the change of the slots in use did to their time.

        They do if it shows by half of what is shared at least. None if the change was too small, or if chance may have
        made the difference.
        """
        change = window.used / self.used
        if TELLING_PART < change < 1 / TELLING_PART:
            return None
        middle_s = self.mean_s * (1.0 + change) / 2
        beyond_s = window.mean_s - middle_s if change > 1 else middle_s - window.mean_s
        if abs(beyond_s) < SURE_ERRORS * math.hypot(window.error_s, self.error_s * middle_s / self.mean_s):
            return None
        return beyond_s > 0


class AdaptiveLimit:
    """The limit, between a floor and a ceiling. Begins at the ceiling. Pure: time comes with what it learns."""

    def __init__(self, min_slots: int, max_slots: int, rng: Callable[[], float] = random.random) -> None:
        """Bound the limit; `rng` returns numbers in [0, 1). ValueError unless 1 <= `min_slots` <= `max_slots`."""
        if not 1 <= min_slots <= max_slots:
            raise ValueError(f"a limit needs a floor of 1 or more, not above the ceiling: {min_slots}, {max_slots}")
        self.slots = max_slots
        """Slots that may be held now."""
        self._min: Final = min_slots
        self._max: Final = max_slots
        self._rng: Final = rng
        self._kinds: Final[dict[str, LatencyWindow]] = {}
        self._settled_s = -math.inf
        self._fall: _Look | None = None
        self._trial: _Look | None = None
        self._trial_pause_s = FIRST_TRIAL_S
        self._trial_due_s = math.inf
        self._floor_trial_due_s = 0.0

    def learn(self, kind: str, held_s: float, wanted: float, now_s: float, *, failed: bool = False) -> int:
        """Take in a call of `kind` that held its slot for `held_s` seconds until now; return the limit from now on.

        `wanted` counts slots held, this one included, and waited for. A failed call is evidence only if it took longer
        than it may: that it was quick says nothing. Nor does what ends soon after a change of the limit. Beyond
        MAX_KINDS kinds, others count as one.
        """
        if self._min == self._max or now_s < self._settled_s:
            return self.slots
        window = self._kinds.get(kind)
        if window is None:
            kind = kind if len(self._kinds) < MAX_KINDS else ""
            window = self._kinds.setdefault(kind, LatencyWindow(now_s))
        if failed and held_s <= TOLERANCE * window.base_s:
            return self.slots
        if window.add(held_s, min(wanted, self.slots), now_s):
            self._judge(kind, window, wanted, now_s)
        return self.slots

    def _judge(self, kind: str, window: LatencyWindow, wanted: float, now_s: float) -> None:
        if self._trial is not None:
            self._end_trial(self._trial, kind, window, now_s)
        elif window.ratio() > TOLERANCE and window.used >= self._min:
            self._fall_or_rebase(kind, window, now_s)
        else:
            self._fall = None
            if window.used >= self.slots and window.ratio() <= CALM:
                self._set(self.slots + self._step(), now_s)
            self._consider_trial(kind, window, wanted, now_s)

    def _step(self) -> int:
        return max(1, round(math.sqrt(self.slots) * (0.5 + self._rng())))

    def _fall_or_rebase(self, kind: str, window: LatencyWindow, now_s: float) -> None:
        """Let the limit fall; if enough of that did not help, it is not for each other that calls wait."""
        before = self._fall
        if before is None or now_s - before.at_s > STALE_WINDOW_S:
            self._fall = _Look(kind, window.used, window.mean_s, window.error_s, self.slots, now_s)
        elif before.kind == kind and (told := before.tells(window)) is not None:
            if not told:
                window.rebase()
                self._fall = None
                self._set(before.slots, now_s)
                return
            self._fall = _Look(kind, window.used, window.mean_s, window.error_s, before.slots, now_s)
        if self.slots > self._min:
            part = max(LARGEST_DECREASE, min(DECREASE, TOLERANCE / window.ratio()))
            self._set(int(min(self.slots, window.used) * part), now_s)
        elif now_s >= self._floor_trial_due_s:
            # Nothing is left to take away: only with more at once can it be told what they wait for.
            self._floor_trial_due_s = now_s + FLOOR_TRIAL_PAUSE_S * (0.5 + self._rng())
            self._begin_trial(kind, window, 2 * self.slots, now_s)

    def _consider_trial(self, kind: str, window: LatencyWindow, wanted: float, now_s: float) -> None:
        """Begin a trial when all slots were needed for long: the base may have been learned in overload."""
        if wanted < self.slots:
            self._trial_due_s = math.inf
        elif math.isinf(self._trial_due_s):
            self._trial_due_s = now_s + self._trial_pause_s * (0.5 + self._rng())
        elif now_s >= self._trial_due_s:
            self._begin_trial(kind, window, int(window.used * TRIAL_PART), now_s)

    def _begin_trial(self, kind: str, window: LatencyWindow, slots: int, now_s: float) -> None:
        self._trial = _Look(kind, window.used, window.mean_s, window.error_s, self.slots, now_s)
        self._set(slots, now_s)

    def _end_trial(self, before: _Look, kind: str, window: LatencyWindow, now_s: float) -> None:
        """See what came of fewer, or more, at once."""
        told = before.tells(window) if kind == before.kind else None
        fewer = self.slots < before.slots
        if told is None:
            if now_s - before.at_s > STALE_WINDOW_S:
                self._stop_trial(before.slots, now_s)
        elif not told:
            if not fewer:
                window.rebase()
            self._stop_trial(before.slots, now_s)
        elif fewer and self.slots > self._min:  # still too many: the base was learned among too many
            self._begin_trial(kind, window, int(window.used * TRIAL_PART), now_s)
        else:
            self._stop_trial(min(self.slots, before.slots), now_s)

    def _stop_trial(self, slots: int, now_s: float) -> None:
        self._trial = None
        self._trial_due_s = math.inf
        self._trial_pause_s = min(2 * self._trial_pause_s, MAX_TRIAL_PAUSE_S)
        self._set(slots, now_s)

    def _set(self, slots: int, now_s: float) -> None:
        slots = min(max(slots, self._min), self._max)
        if slots == self.slots:
            return
        self.slots = slots
        longest_s = max((window.mean_s for window in self._kinds.values()), default=0.0)
        self._settled_s = now_s + min(SETTLING_MEANS * longest_s, MAX_SETTLING_S)
        for window in self._kinds.values():
            window.begin_anew(self._settled_s)
