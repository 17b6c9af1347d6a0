"""What a router says of itself beside its answers, in trailing metadata."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

TIMEOUT_KEY: Final = "trunkline-timeout-us"
"""Metadata of a request: what this attempt has left, in microseconds; gRPC's own header is rounded up."""
PRESSURE_KEY: Final = "trunkline-pressure"
"""Trailing metadata of every answer: how busy the router is, 1 at capacity."""
DRAINING_KEY: Final = "trunkline-draining"
"""Trailing metadata `1` of a router whose region is about to leave: it serves, and asks to prefer another."""

_MAX_TEXT_CHARS: Final = 16


class Signals(NamedTuple):
    """What one answer told."""

    pressure: float | None = None
    """None if it was not told, or is no number of 0 or more."""
    draining: bool = False

    @property
    def told(self) -> bool:
        """True if a router spoke; proxies and gRPC itself answer without a word of this."""
        return self.draining or self.pressure is not None


SILENT: Final = Signals()


def read_signals(metadata: Iterable[tuple[str, str | bytes]] | None) -> Signals:
    """Read an answer's trailing metadata; what is malformed counts as not told."""
    pressure, draining = None, False
    for key, value in metadata or ():
        if key == PRESSURE_KEY:
            pressure = _number(value)
        elif key == DRAINING_KEY:
            draining = value == "1"
    return Signals(pressure, draining)


def _number(value: str | bytes) -> float | None:
    if not isinstance(value, str) or len(value) > _MAX_TEXT_CHARS:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0.0 else None
