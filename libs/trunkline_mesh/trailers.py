"""What a server says of itself with every answer, in trailing metadata: how busy it is, and whether to look elsewhere.

`AnswerTrailers` is the server's side, `PeerState` what a caller reads of it. Both are described in `request`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeAlias

from trunkline_mesh.request import DRAINING_KEY, PRESSURE_KEY

Pair: TypeAlias = tuple[str, str | bytes]

MAX_PRESSURE: Final = 10.0
"""More is told as this: who is asked for ten times of what it can do is no choice, by whatever factor."""
_STEPS: Final = 100
_PRESSURES: Final = tuple((PRESSURE_KEY, f"{step / _STEPS:.2f}") for step in range(int(MAX_PRESSURE * _STEPS) + 1))
_CALM: Final[tuple[tuple[Pair, ...], ...]] = tuple((pressure,) for pressure in _PRESSURES)
_DRAINING: Final[tuple[tuple[Pair, ...], ...]] = tuple((pressure, (DRAINING_KEY, "1")) for pressure in _PRESSURES)
_MAX_TEXT_CHARS: Final = 16


class AnswerTrailers:
    """Trailing metadata of the answers of one server, made beforehand: an answer only chooses."""

    __slots__ = ("_draining", "_pressure")

    def __init__(self, pressure: Callable[[], float], draining: Callable[[], bool]) -> None:
        """Ask `pressure` (0 or more) and `draining` with each answer; both must be cheap and must not raise."""
        self._pressure = pressure
        self._draining = draining

    def now(self) -> tuple[Pair, ...]:
        """Return what an answer that leaves now carries."""
        step = int(min(self._pressure(), MAX_PRESSURE) * _STEPS + 0.5)
        return (_DRAINING if self._draining() else _CALM)[step]

    def leave_on(self, context: Any) -> None:
        """Add it to what the handler may have set itself; call it once, when the answer is ready."""
        own = context.trailing_metadata()
        context.set_trailing_metadata((*own, *self.now()) if own else self.now())


class PeerState(NamedTuple):
    """What an answer's trailing metadata says of the server that sent it."""

    pressure: float | None
    """1 at capacity, at most MAX_PRESSURE; None if it was not told, or no number of 0 or more."""
    draining: bool
    """True if the server asks its callers to prefer another."""

    @property
    def is_told(self) -> bool:
        """True if the answer said anything: gRPC's own refusals, proxies' and transport errors do not."""
        return self.draining or self.pressure is not None


def peer_state(metadata: Iterable[tuple[str, str | bytes]] | None) -> PeerState:
    """Read an answer's trailing metadata; whatever is malformed counts as not told."""
    pressure: float | None = None
    draining = False
    for key, value in metadata or ():
        if key == PRESSURE_KEY:
            pressure = _number(value)
        elif key == DRAINING_KEY:
            draining = value == "1"
    return PeerState(pressure, draining)


def _number(value: str | bytes) -> float | None:
    if not isinstance(value, str) or len(value) > _MAX_TEXT_CHARS:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return min(number, MAX_PRESSURE) if math.isfinite(number) and number >= 0 else None
