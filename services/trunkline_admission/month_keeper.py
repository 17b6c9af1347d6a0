"""Gives a store that lost its data the months' sums back that this replica knows: budgets do not begin anew."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from trunkline_admission.errors import AUTHORITY_AWAY
from trunkline_admission.month_sums import MonthSums
from trunkline_admission.promise_metrics import MONTHS_GIVEN_BACK
from trunkline_admission.promise_store import PromiseStore
from trunkline_mesh.background import goes_on
from trunkline_mesh.logs import get_logger

TICK_S: Final = 1.0
"""The store is asked so often whether it is still the one it was."""
MAX_SUMS: Final = 200
"""Sums that go back in one step: the store is busy with them for less than a millisecond."""

_LOG: Final = get_logger("admission.months")


class MonthKeeper:
    """Every replica does this, whoever noticed first: sums are only ever raised, so neither who nor how often matters.

    A store is known by a mark that the first replica leaves in it. Another mark is another store, or an empty one. What
    was lost in part is noticed by sums that have become smaller.
    """

    def __init__(self, store: PromiseStore, sums: MonthSums) -> None:
        """Give back what is lost of `sums`."""
        self._store = store
        self._sums = sums
        self._mark: str | None = None

    async def run(self) -> None:
        """Look once a second until cancelled."""
        while True:
            with goes_on("months"):
                await self.tick()
            await asyncio.sleep(TICK_S)

    async def tick(self) -> None:
        """Look once, and give back what is lost; what the store does not take now goes with the next look."""
        try:
            mark, _ = await self._store.give_back((), secrets.token_hex(8))
            if self._mark not in (None, mark):
                _LOG.warning("the store has lost its data, its months are given back", dependency="redis")
                self._sums.lose_all()
            self._mark = mark
            while sums := self._sums.lost(MAX_SUMS):
                found, raised = await self._store.give_back(sums, mark)
                MONTHS_GIVEN_BACK.inc(raised)
                if found != mark:
                    return  # lost again meanwhile: the next look begins anew
                self._sums.given_back(sums)
        except AUTHORITY_AWAY:
            return
