"""What lies between processes: a round trip to the region's store, and one to another region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tests.sim.even_book import EvenGrant
from tests.sim.loop import VirtualLoop
from tests.sim.lua_store import LuaStore
from tests.sim.pool_book import PoolBook
from tests.sim.share_book import PoolCall
from trunkline_admission.quota import Grant, LimitState, QuotaAuthority, TenantQuota
from trunkline_lease.charge import NOTHING, Charge

STORE_TRIP_S: Final = 0.0006
"""To the region's store and back."""
FAR_TRIP_S: Final = 0.15
"""To another region and back."""


class Trip:
    """A `ScriptRunner` at the end of a network: the store's script runs at its end. A book sees what concerns pools."""

    def __init__(self, store: LuaStore, loop: VirtualLoop) -> None:
        self.pools: PoolBook | None = None
        self._store = store
        self._loop = loop

    async def run(self, script: str, keys: Sequence[str], args: Sequence[str | int | float]) -> Any:
        """As `ScriptRunner.run`."""
        await self._loop.sleep(STORE_TRIP_S)
        answer = self._store.run_now(script, keys, args)
        if self.pools is None:
            return answer
        if script == "pool":
            self.pools.drew(PoolCall.read(args, answer))
        elif script == "tenant" and (even := EvenGrant.read(keys[0], args, answer)) is not None:
            self.pools.even_parts.saw(even)
        return answer


class Far:
    """Another region's authority, at the end of a long line."""

    def __init__(self, inner: QuotaAuthority, loop: VirtualLoop) -> None:
        self._inner = inner
        self._loop = loop

    async def take(
        self,
        quota: TenantQuota,
        wanted: Charge,
        returned: Charge = NOTHING,
        *,
        key: str = "",
        advanced: Charge = NOTHING,
    ) -> Grant:
        """As `QuotaAuthority.take`."""
        await self._loop.sleep(FAR_TRIP_S / 2)
        grant = await self._inner.take(quota, wanted, returned, key=key, advanced=advanced)
        await self._loop.sleep(FAR_TRIP_S / 2)
        return grant

    async def states(self, quota: TenantQuota, key: str = "") -> Sequence[LimitState]:
        """As `QuotaAuthority.states`."""
        await self._loop.sleep(FAR_TRIP_S)
        return await self._inner.states(quota, key)
