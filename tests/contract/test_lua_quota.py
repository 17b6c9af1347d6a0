"""The authority over the scripts in this process: the same suites as on a server, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest
from tests.contract.quota_authority_suite import BucketSuite, PeriodSuite
from tests.contract.quota_pool_suite import PoolSuite
from tests.contract.quota_subject import NOON_S, QuotaSubject
from tests.sim.lua_store import LuaStore

from trunkline_admission.scripting import ScriptRunner


class LuaSubject(QuotaSubject):
    """Time passes only when the test says so."""

    def __init__(self) -> None:
        self.at_s = float(NOON_S)
        self.store = LuaStore(self.now_s)
        super().__init__()

    @property
    def runner(self) -> ScriptRunner:
        return self.store

    def store_offset_s(self) -> float:
        return 0.0

    def now_s(self) -> float:
        return self.at_s

    def pass_time(self, seconds: float) -> None:
        self.at_s += seconds

    async def keys(self) -> Mapping[str, float]:
        return {key: self.store.remaining_s(key) for key in self.store.names()}

    async def lose_everything(self) -> None:
        self.store.lose_everything()


@pytest.fixture
async def subject() -> AsyncIterator[LuaSubject]:
    subject = LuaSubject()
    yield subject
    await subject.quotas.aclose()


class TestLuaBuckets(BucketSuite):
    """Rates, without a server."""


class TestLuaPeriods(PeriodSuite):
    """Days and months, without a server."""


class TestLuaPools(PoolSuite):
    """Pools, without a server."""
