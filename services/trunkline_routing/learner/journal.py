"""What the learner did last for each tenant. In memory: after a restart it is told again with the next look."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from trunkline_routing.learner.learned import Learned
from trunkline_routing.learner.library import Recent

MAX_TENANTS: Final = 100_000


class Journal:
    """The last look at each tenant's feedback."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """Start empty."""
        self._now = now
        self._last: Recent[tuple[Learned, float]] = Recent(MAX_TENANTS)

    def note(self, tenant_id: str, learned: Learned) -> None:
        """Remember what came of a look."""
        self._last.put(tenant_id, (learned, self._now()))

    def last(self, tenant_id: str) -> tuple[Learned | None, float]:
        """Return the last look and its Unix time; None and 0 without one."""
        return self._last.get(tenant_id) or (None, 0.0)
