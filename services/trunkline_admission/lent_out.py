"""What a tier was granted of others' pools lately: what comes back unused finds its lender by it."""

from __future__ import annotations

import math
from typing import Final

from trunkline_admission.pool_share import Piece


class LentOut:
    """Of one tier, in this replica: leases and permits come back to the replica that granted them.

    Requests are alike, so nobody can tell which of a tier's were lent. What comes back is the lenders' as long as
    anything of theirs is out: never more than was granted of it within the last one to two `memory_s`.
    """

    def __init__(self, memory_s: float, now_s: float) -> None:
        """Nothing is out. `memory_s` is how long after its grant a request may come back."""
        self._memory_s: Final = memory_s
        self._begun_s = now_s
        self._now: dict[str, int] = {}
        self._before: dict[str, int] = {}

    def granted(self, lent: dict[str, int], now_s: float) -> None:
        """Remember a grant, by lender."""
        self._turn(now_s)
        for lender, requests in lent.items():
            if requests > 0:
                self._now[lender] = self._now.get(lender, 0) + requests

    def returned(self, requests: int, now_s: float) -> Piece:
        """Return so many requests with the pools that they belong to."""
        self._turn(now_s)
        piece = Piece(requests)
        for out in (self._before, self._now):
            for lender in tuple(out):
                back = min(piece.own, out[lender])
                piece.own -= back
                piece.lent[lender] = piece.lent.get(lender, 0) + back
                out[lender] -= back
                if not out[lender]:
                    del out[lender]
        return piece

    def _turn(self, now_s: float) -> None:
        passed = math.floor((now_s - self._begun_s) / self._memory_s)
        if passed == 0:
            return
        self._before = self._now if passed <= 1 else {}
        self._now = {}
        self._begun_s += passed * self._memory_s
