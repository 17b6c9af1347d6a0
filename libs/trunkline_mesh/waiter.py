"""One call that waits for a slot."""

from __future__ import annotations

import asyncio

from trunkline_mesh.errors import DomainError


class Waiter:
    """A call in the queue of its rank. `turn` brings None (go ahead) or the refusal."""

    __slots__ = (
        "asked_at_s",
        "at_half",
        "behind_own",
        "cost",
        "expires_at_s",
        "granted",
        "rank",
        "tenant",
        "turn",
        "weight",
    )

    def __init__(
        self,
        rank: int,
        tenant: str,
        cost: int,
        *,
        asked_at_s: float,
        patience_s: float,
        at_half: bool,
        behind_own: bool,
    ) -> None:
        """Wait from `asked_at_s` on for at most `patience_s`; `at_half` says that this is half of the deadline.

        `behind_own` says that other calls of the tenant waited already when it came.
        """
        self.rank = rank
        self.tenant = tenant
        self.cost = cost
        self.weight = 1.0
        """Of its tenant's line: tenants of one rank are alike."""
        self.asked_at_s = asked_at_s
        self.expires_at_s = asked_at_s + patience_s
        self.at_half = at_half
        self.behind_own = behind_own
        self.granted = False
        self.turn: asyncio.Future[DomainError | None] = asyncio.get_running_loop().create_future()

    def is_refused(self) -> bool:
        """Return True if it was counted as refused already."""
        return self.turn.done() and not self.turn.cancelled() and not self.granted

    def is_stale(self, now_s: float, part: float) -> bool:
        """Return True if it has waited for `part` of the half of its deadline, so that little good can come of it."""
        return self.at_half and now_s - self.asked_at_s >= part * (self.expires_at_s - self.asked_at_s)
