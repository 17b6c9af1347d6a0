"""Shares of the region's pools, held by this replica, so that a decision need not ask for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from trunkline_admission.lent_out import LentOut
from trunkline_admission.metrics import POOL_REQUESTS
from trunkline_admission.pool_config import PoolConfig
from trunkline_admission.pool_share import Piece, PoolShare
from trunkline_admission.pool_standing import Standing
from trunkline_admission.quota import Period, Refusal, Scope, Unit
from trunkline_admission.scripting import ScriptRunner
from trunkline_admission.tenant_script import is_numbers
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.errors import BackendUnavailable, DomainError
from trunkline_tiers import TierFile

SHARE_VALID_S: Final = 2.0
"""How long a replica may hold what it drew."""
ABOVE_DAY_RESERVE: Final = 0.5
"""Part of a full pool that tenants beyond their daily number leave to the others of their tier."""
DRY_S: Final = 0.25
"""An empty pool is not asked again for at most this long: what others return must be found soon."""
RETURNS_LATE_S: Final = 120.0
"""How long after its grant a request may come back: a permit's life, and those of the leases that it was spent from,
another region's among them."""
DRAW_TRIES: Final = 4
"""Draws that one ask waits for: one under way, one with its own wish, and two more where others were quicker."""


class PoolShares:
    """Draws, holds and returns shares. Not for several threads."""

    def __init__(
        self,
        runner: ScriptRunner,
        tiers: TierFile,
        *,
        key: str,
        share_valid_s: float = SHARE_VALID_S,
        clock: Clock = MONOTONIC,
        clock_offset_s: Callable[[], float],
    ) -> None:
        """Keep the pools in the hash `key`. `clock` is monotonic; `clock_offset_s` is added to the store's time."""
        self._runner = runner
        self._key = key
        self._valid_s = share_valid_s
        self._clock = clock
        self._offset_s = clock_offset_s
        self._config = PoolConfig(tiers)
        self._standings = {
            name: Standing(
                PoolShare(self._config.burst(name), turn_s=share_valid_s / 2, now_s=clock()),
                LentOut(RETURNS_LATE_S, clock()),
            )
            for name in self._config.names
        }
        self._returning: set[asyncio.Task[None]] = set()

    @property
    def reclaim_bound_s(self) -> float:
        """Seconds after which what a replica drew and did not spend is back in its pool.

        A share's life, half of one for what was taken and handed back, and half of one for the calls on the way.
        """
        return 2 * self._valid_s

    async def draw(self, tier: str, most: int) -> Piece:
        """Return up to `most` requests, those at hand first. Raises BackendUnavailable and BackendTimeout."""
        standing = self._standings[tier]
        piece = standing.share.take(most)
        try:
            for _ in range(DRAW_TRIES):
                missing = most - piece.total
                if missing <= 0 or self._clock() < standing.dry_until_s:
                    break
                await self._wait(tier, missing)
                piece.add(standing.share.take(missing))
        except BaseException:
            self.give_back(tier, piece)
            raise
        return piece

    def spent(self, tier: str, requests: int, piece: Piece) -> None:
        """Learn that so many were granted, out of `piece` as far as it went; draws ahead if little is left."""
        standing, now_s = self._standings[tier], self._clock()
        standing.share.note(requests, now_s)
        if piece.lent:
            standing.lent_out.granted(piece.lent, now_s)
        low = 2 * standing.share.held < standing.share.ahead
        if low and standing.drawing is None and now_s >= standing.dry_until_s:
            self._start(tier)

    def overdraw(self, tier: str, requests: int) -> None:
        """Have the pool owe what was granted although it was dry; it learns that with the next draw or return.

        A pool owes as much as it holds when it is full, at most; what is more is forgiven.
        """
        self._standings[tier].overdrawn += requests
        POOL_REQUESTS.labels(tier, "even").inc(requests)

    def give_back(self, tier: str, piece: Piece) -> None:
        """Keep what was not needed for the next ask; what nobody asks for goes back to its pool."""
        if piece.total > 0:
            self._standings[tier].share.give_back(piece)
            self._arm(tier)

    def returned(self, tier: str, requests: int) -> None:
        """Take back what was granted and not used: first what is others', then the tier's own."""
        if requests > 0:
            self.give_back(tier, self._standings[tier].lent_out.returned(requests, self._clock()))

    def has_spare(self, tier: str) -> bool | None:
        """Return whether the tier's pool lately held more than its reserve; None if nobody looked lately."""
        standing = self._standings[tier]
        if not 0.0 <= self._clock() - standing.level_at_s <= self._valid_s:
            return None
        return standing.level > ABOVE_DAY_RESERVE * self._config.burst(tier)

    def refusal(self, tier: str) -> Refusal:
        """Return why nothing could be drawn."""
        standing = self._standings[tier]
        delay_s = max(0.001, standing.back_at_s - self._clock())
        return Refusal(standing.refused_by, Period.RATE, Unit.REQUESTS, delay_s)

    async def levels(self) -> dict[str, int]:
        """Look what each pool holds now. Raises BackendUnavailable and BackendTimeout."""
        answer = await self._ask("look", self._config.names[0], 0, Piece())
        levels, now_s = dict(zip(self._config.names, answer[5::2], strict=True)), self._clock()
        for name, standing in self._standings.items():
            standing.level, standing.level_at_s = levels[name], now_s
        return levels

    async def aclose(self) -> None:
        """Give everything back that is held; what cannot be returned is lost to its pool."""
        for tier, standing in self._standings.items():
            if standing.timer is not None:
                standing.timer.cancel()
                standing.timer = None
            if standing.drawing is not None:
                await asyncio.gather(standing.drawing, return_exceptions=True)
            self._return(tier, standing.share.clear(), last=True)
        await asyncio.gather(*self._returning, return_exceptions=True)
        for standing in self._standings.values():
            if standing.timer is not None:
                standing.timer.cancel()

    async def _wait(self, tier: str, missing: int) -> None:
        standing = self._standings[tier]
        standing.waiting += missing
        try:
            await asyncio.shield(standing.drawing or self._start(tier))
        finally:
            standing.waiting -= missing

    def _start(self, tier: str) -> asyncio.Task[None]:
        standing = self._standings[tier]
        task = standing.drawing = asyncio.ensure_future(self._draw(tier))
        task.add_done_callback(partial(self._drawn, standing))
        return task

    @staticmethod
    def _drawn(standing: Standing, task: asyncio.Task[None]) -> None:
        standing.drawing = None
        if not task.cancelled():
            task.exception()  # taken note of: nobody may have waited

    async def _draw(self, tier: str) -> None:
        standing = self._standings[tier]
        share = standing.share
        due = share.turn(self._clock())
        wanted = max(0, standing.waiting + share.ahead - share.held)
        answer = await self._ask("take", tier, wanted, due)
        now_s, names = self._clock(), self._config.names
        taken = dict(zip(names, answer[4::2], strict=True))
        own = taken.pop(tier)
        share.fill(Piece(own, {lender: lent for lender, lent in taken.items() if lent}))
        POOL_REQUESTS.labels(tier, "own").inc(own)
        POOL_REQUESTS.labels(tier, "lent").inc(answer[0] - own)
        standing.level, standing.level_at_s = answer[5 + 2 * names.index(tier)], now_s
        if wanted > 0 and answer[0] == 0:
            standing.refused_by = Scope.SERVICE if answer[1] == 1 else Scope.TIER
            standing.back_at_s = now_s + answer[2] / 1e6
            standing.dry_until_s = min(standing.back_at_s, now_s + DRY_S)
        self._arm(tier)

    def _arm(self, tier: str) -> None:
        """See to it that what is held is turned in time, even if nobody asks any more."""
        standing = self._standings[tier]
        if standing.timer is None and standing.share.held > 0:
            due_in_s = standing.share.due_in_s(self._clock())
            standing.timer = asyncio.get_running_loop().call_later(due_in_s, self._turn, tier)

    def _turn(self, tier: str) -> None:
        standing = self._standings[tier]
        standing.timer = None
        self._return(tier, standing.share.turn(self._clock()))
        self._arm(tier)

    def _return(self, tier: str, piece: Piece, *, last: bool = False) -> None:
        if piece.total == 0 and not (last and self._standings[tier].overdrawn):
            return
        task = asyncio.ensure_future(self._give(tier, piece))
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    async def _give(self, tier: str, piece: Piece) -> None:
        try:
            answer = await self._ask("take", tier, 0, piece)
        except DomainError:
            return  # the store is away; it holds at most a share less for it
        standing = self._standings[tier]
        standing.level = answer[5 + 2 * self._config.names.index(tier)]
        standing.level_at_s = self._clock()

    async def _ask(self, mode: str, tier: str, wanted: int, back: Piece) -> Sequence[int]:
        POOL_REQUESTS.labels(tier, "back").inc(back.total)
        standing = self._standings[tier]
        owed = standing.overdrawn if mode == "take" else 0
        standing.overdrawn -= owed
        args = self._config.arguments(mode, round(self._offset_s() * 1e6), tier, wanted, back, owed)
        try:
            answer = await self._runner.run("pool", (self._key,), args)
        except DomainError:
            standing.overdrawn += owed
            raise
        if not is_numbers(answer) or len(answer) != 4 + 2 * len(self._config.names):
            raise BackendUnavailable("the quota store answered something else than pools")
        return answer
