"""Shares of a request's time, so that an expiry in here still reaches the caller as an answer with a reason."""

from __future__ import annotations

from typing import Final

from trunkline_mesh.deadline import HOP_RESERVE_S, Deadline

MAP_RESERVE_S: Final = 0.1
"""Most that is kept back from waiting for the map: without it no time would be left to search."""

_RESERVE_RATIO: Final = 0.1
"""Of short deadlines a smaller part is kept back."""


def until_store(deadline: Deadline) -> Deadline:
    """Return when the store must have answered: the deadline less a tenth of what is left, at most HOP_RESERVE_S."""
    return _less(deadline, HOP_RESERVE_S)


def until_map(deadline: Deadline) -> Deadline:
    """Return when the map must have caught up: the deadline less a tenth of what is left, at most MAP_RESERVE_S."""
    return _less(deadline, MAP_RESERVE_S)


def _less(deadline: Deadline, most_s: float) -> Deadline:
    return Deadline(deadline.at_s - min(most_s, _RESERVE_RATIO * deadline.remaining_s()))
