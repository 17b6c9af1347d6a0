"""GetUsage over real gRPC, with credentials, beside a router's journal that is being written; without Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.fixtures.servers import free_port
from tests.unit.usage.making import NOON_S, record

from trunkline_admission.app import open_over
from trunkline_admission.settings import AdmissionSettings
from trunkline_client import TrunklineError
from trunkline_client.usage import UsageClient
from trunkline_local.identity import AUDIENCE, ISSUER, DevIdentity
from trunkline_map.testing import static_map, tenant
from trunkline_mesh.serving import start
from trunkline_usage.journal import UsageJournal, open_usage_journal
from trunkline_usage.records import StageUse

DAY = "2026-11-21"


@dataclass
class Region:
    """Admission of a region, and the journal of one of its routers."""

    journal: UsageJournal
    address: str
    identity: DevIdentity

    def client(self, subject: str, *, of: str | None = None, roles: Sequence[str] = ()) -> UsageClient:
        token = self.identity.mint(subject, tenant=of, roles=list(roles))
        return UsageClient([self.address], token)


@pytest.fixture
async def region(tmp_path: Path) -> AsyncIterator[Region]:
    """Start both."""
    identity = DevIdentity.create(tmp_path / "identity")
    settings = AdmissionSettings(
        redis_url=f"redis://127.0.0.1:{free_port()}/0",
        usage_dir=tmp_path / "usage",
        usage_ledger_path=tmp_path / "state" / "ledger.db",
        jwks=str(identity.jwks_path),
        issuer=ISSUER,
        audience=AUDIENCE,
        drain_settle_s=0.0,
        drain_grace_s=0.5,
    )
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(open_usage_journal(tmp_path / "usage", "router-1"))
        source = static_map(tenant("acme", "eu"), tenant("zeta", "eu"))
        app = await stack.enter_async_context(open_over(settings, source))
        running = await start(app, settings, stack)
        yield Region(journal, f"127.0.0.1:{running.port}", identity)


async def test_what_is_answered_is_told_at_once(region: Region) -> None:
    """To the tenant's admin of its own tenant, to an operator of any; a repeat counts once."""
    region.journal.append(record("a", at_s=NOON_S))
    region.journal.append(record("a", at_s=NOON_S + 1))
    await region.journal.written()
    async with region.client("admin", of="acme", roles=["admin"]) as client:
        told = await client.usage(first_day=DAY)
        assert (told.requests, [line.cost_micros for line in told.lines], told.currency) == (1, [20, 0], "EUR")
        region.journal.append(record("b", stages=[StageUse("write", "notes", 3, 3, 30)], labels=(("team", "red"),)))
        await region.journal.written()
        told = await client.usage("acme", first_day=DAY, label="team")
        assert [(line.stage, line.label_value) for line in told.lines] == [
            ("embedding", "blue"), ("search", "blue"), ("write", "red"),
        ]  # fmt: skip
        assert told.requests == 2
        before = told.complete_until_time.ToNanoseconds()
    async with region.client("somebody", roles=["operator"]) as client:
        told = await client.usage("acme", first_day="2026-11-01", last_day="2026-11-30")
        assert told.requests == 2
        assert told.complete_until_time.ToNanoseconds() > before
        assert (await client.usage("zeta", first_day=DAY)).requests == 0
        assert (await client.usage("gone", first_day=DAY)).requests == 0


async def test_nobody_reads_anothers(region: Region) -> None:
    """By the contract's reasons."""
    region.journal.append(record("a"))
    await region.journal.written()
    async with region.client("admin", of="zeta", roles=["admin"]) as client:
        assert (await client.usage(first_day=DAY)).requests == 0
        with pytest.raises(TrunklineError) as refused:
            await client.usage("acme", first_day=DAY)
        assert refused.value.reason == "TENANT_MISMATCH"
    async with region.client("reader", of="acme") as client:
        with pytest.raises(TrunklineError) as refused:
            await client.usage("acme", first_day=DAY)
        assert refused.value.reason == "METHOD_NOT_ALLOWED"
    async with region.client("somebody", roles=["operator"]) as client:
        with pytest.raises(TrunklineError) as refused:
            await client.usage("acme", first_day="now")
        assert [problem.field for problem in refused.value.fields] == ["first_day"]
