"""Looks after routers that do not answer, in the background: no call of the caller's pays for finding out."""

from __future__ import annotations

import asyncio

from trunkline_client.health import check_health
from trunkline_client.pool import RouterPool
from trunkline_client.router import Router, wait_connected
from trunkline_client.settings import ClientSettings


class RouterWatch:
    """Checks the health of routers that are in doubt, at rest, or drain; one task for each of them, none otherwise.

    In doubt is a router that leaves a call waiting (see `expect_answer`) while it answers no other: it, and with it the
    others of its region, get `probe_timeout_s` to answer a health check, and rest at once if they do not.
    A router at rest comes back when a check says that it serves.
    """

    def __init__(self, pool: RouterPool, settings: ClientSettings) -> None:
        self._pool = pool
        self._settings = settings
        self._tasks: dict[Router, asyncio.Task[None]] = {}
        pool.on_leave = self.follow

    def expect_answer(self, router: Router, usual_s: float, most_s: float) -> asyncio.TimerHandle:
        """Note that a call waits for the router; the caller cancels the handle when it has ended.

        Doubt begins after `suspect_after_s`, or after twice the `usual_s` that such calls take there, but in the latter
        case no later than half of the `most_s` that this one has.
        """
        after_s = max(self._settings.suspect_after_s, min(2.0 * usual_s, most_s / 2.0))
        return asyncio.get_running_loop().call_later(after_s, self._doubt, router, self._pool.clock())

    def follow(self, router: Router) -> None:
        """Check a router until it can be used again."""
        self._attend(router, in_doubt=False)

    async def close(self) -> None:
        """End all checks."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _doubt(self, router: Router, asked_s: float) -> None:
        if router.heard_s >= asked_s:
            return
        for each in (router, *self._pool.neighbours(router)):
            if each.heard_s < asked_s and not self._pool.left(each):
                self._attend(each, in_doubt=True)

    def _attend(self, router: Router, *, in_doubt: bool) -> None:
        if router not in self._tasks:  # bounded: as many as there are routers
            work = self._work(router, in_doubt=in_doubt)
            self._tasks[router] = asyncio.create_task(work, name=f"watch {router.address.target}")

    async def _work(self, router: Router, *, in_doubt: bool) -> None:
        try:
            if in_doubt:
                await self._resolve_doubt(router)
            while self._pool.left(router):
                await self._until_due(router)
                await self._check(router)
        finally:
            # Without a pause since the last look, so whoever finds the router left from now on begins anew.
            del self._tasks[router]

    async def _until_due(self, router: Router) -> None:
        """Wait until the rest is over, then for a connection; checks of one router stand an interval apart."""
        rest_s = (router.rest_until_s or 0.0) - self._pool.clock()
        since_s = self._pool.clock() - router.checked_s
        await asyncio.sleep(max(0.0, rest_s, self._settings.probe_interval_s - since_s))
        await wait_connected(router.channel, self._settings.probe_interval_s, stop_at_failure=False)

    async def _resolve_doubt(self, router: Router) -> None:
        began_s = self._pool.clock()
        health = await check_health(router.channel, self._settings.probe_timeout_s)
        if health.speaks:
            self._pool.heard(router, health.signals)
        elif router.heard_s < began_s:
            self._pool.suspend(router)

    async def _check(self, router: Router) -> None:
        health = await check_health(router.channel, self._settings.probe_timeout_s)
        router.checked_s = self._pool.clock()
        if health.serves:
            self._pool.heard(router, health.signals)
            self._pool.prove(router, draining=health.signals.draining)
