"""Time as a parameter, so that what waits and expires can be tested without waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Returns seconds that never go back; only differences mean anything."""

MONOTONIC: Final[Clock] = time.monotonic
"""The clock of every deadline, and the default wherever a clock is injected."""
