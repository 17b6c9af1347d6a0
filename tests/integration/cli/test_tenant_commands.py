# ruff: noqa: N802  # method names are the contract's
"""`trunkline tenant`, `stage`, `levels` and `tiers` against a real control role, and the read side of two regions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from pydantic import SecretStr
from tests.integration.cli.command import Map
from tests.integration.control.conftest import Control
from tests.integration.map.etcd_server import EtcdServer
from tests.integration.mesh.credentials import AUDIENCE, ISSUER

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import usage_service_pb2 as usage_pb
from trunkline.admission.v1 import usage_service_pb2_grpc as usage_grpc
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_admission.app import open_app
from trunkline_admission.settings import AdmissionSettings
from trunkline_mesh.serving import start


@dataclass
class Admission(usage_grpc.UsageServiceServicer):
    """One region's read side; it remembers what it was asked."""

    region: str
    endpoint: str = ""
    asked: list[Any] = field(default_factory=list)

    async def GetUsage(self, request: usage_pb.GetUsageRequest, _context: object) -> usage_pb.GetUsageResponse:
        self.asked.append(request)
        line = usage_pb.UsageLine(
            day=request.first_day, stage="search", collection="docs", count=3, tokens=5, cost_micros=1500,
            price_version="2026-01",
        )  # fmt: skip
        return usage_pb.GetUsageResponse(lines=[line], requests=3, currency="EUR")

    async def GetLimits(self, request: usage_pb.GetLimitsRequest, _context: object) -> usage_pb.GetLimitsResponse:
        self.asked.append(request)
        state = usage_pb.LimitState(
            scope=quota_pb.LIMIT_SCOPE_TENANT,
            period=quota_pb.LIMIT_PERIOD_DAY,
            unit=quota_pb.LIMIT_UNIT_REQUESTS,
            limit=100,
            used=40,
        )
        return usage_pb.GetLimitsResponse(
            tenant_id=request.tenant_id, tier="pro", rank=1, limits=[state], home_region="us-east"
        )

    async def GetObjectives(
        self, request: usage_pb.GetObjectivesRequest, _context: object
    ) -> usage_pb.GetObjectivesResponse:
        self.asked.append(request)
        return usage_pb.GetObjectivesResponse(objectives=[usage_pb.Objective(name="pro", tier=True, spent_part=0.5)])

    async def GetLevels(self, _request: usage_pb.GetLevelsRequest, _context: object) -> usage_pb.GetLevelsResponse:
        level = admission_pb.TierLevel(tier="free", level=quota_pb.SERVICE_LEVEL_EMERGENCY, cause="latency")
        return usage_pb.GetLevelsResponse(levels=[level], routers=1)


@asynccontextmanager
async def serving(region: str) -> AsyncIterator[Admission]:
    admission, server = Admission(region), grpc.aio.server()
    usage_grpc.add_UsageServiceServicer_to_server(admission, server)
    admission.endpoint = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield admission
    finally:
        await server.stop(None)


@pytest.fixture
async def admissions(trunkline: Map) -> AsyncIterator[dict[str, Admission]]:
    """An admission service of each region, named in the map."""
    async with AsyncExitStack() as stack:
        found = {region: await stack.enter_async_context(serving(region)) for region in ("eu-west", "us-east")}
        for region, admission in found.items():
            await trunkline.run("region", "put", region, "--endpoint", f"admission={admission.endpoint}")
        yield found


async def test_a_tenant_from_making_to_removing(trunkline: Map) -> None:
    """Made, limited, labelled, suspended: each change says from what to what, and the history tells who and why."""
    made = await trunkline.run(
        "tenant", "create", "vesta", "--tier", "pro", "--jurisdiction", "eu", "--jurisdiction", "us",
        "--time-zone", "Europe/Berlin", "--label", "team=search", "--json",
    )  # fmt: skip
    again = await trunkline("tenant", "create", "vesta", "--jurisdiction", "eu")
    limited = await trunkline.run(
        "tenant", "set", "vesta", "--requests-per-day", "500", "--budget", "12.50/month", "--key", "ci=3/20",
        "--no-label", "team", "--comment", "new contract",
    )  # fmt: skip
    trial = await trunkline.run("tenant", "set", "vesta", "--shadow", "--requests-per-minute", "9", "--json")
    fair = ("--override-until", "2099-01-01T00:00Z", "--requests-per-day", "900", "--note", "a fair")
    await trunkline.run("tenant", "set", "vesta", *fair)
    dry = await trunkline.run("tenant", "suspend", "vesta", "--dry-run", "--json")
    await trunkline.run("tenant", "suspend", "vesta", "--comment", "unpaid")
    same = await trunkline.run("tenant", "suspend", "vesta")
    shown = (await trunkline.run("tenant", "show", "vesta")).out
    history = (await trunkline.run("tenant", "history", "vesta")).out
    ended = await trunkline.run("tenant", "set", "vesta", "--end-override", "--no-shadow", "--json")
    await trunkline.run("tenant", "delete", "vesta", "--yes")

    assert made.data["entry"]["labels"] == {"team": "search"}
    assert (again.code, "tenant set" in again.err) == (1, True)
    assert limited.out.splitlines()[0] == "tenant vesta changed"
    assert "    limits: (none) -> {'requests_per_day': '500', 'budget_micros_per_month': '12500000'}" in limited.out
    assert [change["field"] for change in trial.data["changes"]] == ["shadow_limits"]
    assert dry.data["dry_run"]
    assert dry.data["changes"][0]["after"] == "TENANT_STATE_SUSPENDED"
    assert same.out == "tenant vesta is so already\n"
    assert 'override     900 requests a day, until 2099-01-01 00:00 UTC: "a fair"' in shown
    assert "key          ci: 3 requests a minute, 20 requests a day" in shown
    assert "on trial     9 requests a minute" in shown
    assert '(PutTenant): "unpaid"' in history
    assert {"overrides", "shadow_limits"}.isdisjoint(ended.data["entry"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--tier", "gold"), "must be one of free, pro, enterprise"),
        (("--requests-per-day", "9", "--requests-per-month", "8"), "tenant.limits.requests_per_day"),
        (("--time-zone", "Mars/Olympus"), "tenant.time_zone"),
        (("--override-until", "2001-01-01T00:00Z", "--requests-per-day", "9"), "must be in the future"),
        (("--label", "Team=x"), "tenant.labels"),
    ],
)
async def test_what_cannot_be_is_refused_with_the_field(trunkline: Map, arguments: tuple[str, ...], told: str) -> None:
    """The control role's words reach the operator, and nothing was changed."""
    done = await trunkline("tenant", "set", "acme", *arguments)

    assert (done.code, told in done.err) == (3, True), done.err


async def test_wrong_usage_is_told_before_anything_is_asked(trunkline: Map) -> None:
    """Nothing named, nothing to change, a scope too many."""
    assert (await trunkline("tenant", "set", "acme")).code == 2
    assert (await trunkline("tenant", "create", "new")).code == 2
    assert (await trunkline("stage", "off", "rerank")).code == 2
    assert (await trunkline("stage", "off", "rerank", "--everywhere", "--tenant", "acme")).code == 2
    assert (await trunkline("stage", "off", "admission", "--everywhere")).code == 2


async def test_stages_are_switched_off_and_on(trunkline: Map) -> None:
    """For a tenant, for a region, everywhere; others that are off stay so."""
    await trunkline.run("stage", "off", "write", "--tenant", "acme")
    tenant = (await trunkline.run("stage", "off", "rerank", "--tenant", "acme", "--json")).data
    region = (await trunkline.run("stage", "off", "decision", "--region", "eu-west", "--json")).data
    everywhere = await trunkline.run("stage", "off", "rerank", "--everywhere", "--comment", "the model is ill")
    back = (await trunkline.run("stage", "on", "rerank", "--everywhere", "--json")).data
    left = (await trunkline.run("region", "get", "eu-west", "--json")).data["entry"]

    assert tenant["off_now"] == {"tenant acme": ["rerank", "write"]}
    assert region["off_now"] == {"region eu-west": ["decision"]}
    assert "region eu-west: rerank off (off there: decision, rerank)" in everywhere.out
    assert back["off_now"] == {"region eu-west": ["decision"], "region us-east": []}
    assert left["disabled_stages"] == ["STAGE_NAME_DECISION"]


async def test_usage_is_added_up_over_the_regions_of_a_tenant(trunkline: Map, admissions: dict[str, Admission]) -> None:
    """Only allowed regions are asked; one that does not answer is told, and the sum is not called complete."""
    days = ("--from", "2026-05-01", "--to", "2026-05-31", "--label", "team")
    both = await trunkline.run("tenant", "usage", "acme", *days, "--json")
    plain = await trunkline.run("tenant", "usage", "acme", "--from", "2026-05-01")
    table = await trunkline.run("tenant", "usage", "acme", "--from", "2026-05-01", "--csv")
    await trunkline.run("tenant", "create", "europe", "--jurisdiction", "eu")
    inside = await trunkline.run("tenant", "usage", "europe", "--json")
    await trunkline.run("region", "put", "us-east", "--endpoint", "admission=127.0.0.1:9")
    partial = await trunkline("tenant", "usage", "acme", "--json")

    (line,) = both.data["lines"]
    assert (line["count"], line["tokens"], line["cost_micros"]) == (6, 10, 3000)
    assert (both.data["requests"], both.data["currency"], both.data["complete"]) == (6, "EUR", True)
    asked = admissions["us-east"].asked[0]
    assert (asked.tenant_id, asked.first_day, asked.last_day, asked.label) == (
        "acme", "2026-05-01", "2026-05-31", "team",
    )  # fmt: skip
    assert "2026-05-01\tsearch\tdocs\t\t6\t10\t0.003 EUR\t2026-01" in plain.out
    assert table.out.splitlines()[1] == "2026-05-01,search,docs,,2026-01,6,10,3000,EUR"
    assert list(inside.data["regions"]) == ["eu-west"]
    assert (partial.code, partial.data["complete"], partial.data["requests"]) == (1, False, 3)
    assert "problem" in partial.data["regions"]["us-east"]


async def test_limits_promises_and_levels_are_asked_for(trunkline: Map, admissions: dict[str, Admission]) -> None:
    """Limits of the region that keeps them, promises and levels of each region."""
    limits = await trunkline.run("tenant", "limits", "acme", "--key", "ci")
    objectives = await trunkline.run("tenant", "objectives")
    levels = await trunkline.run("levels", "--region", "eu-west", "--json")

    assert admissions["us-east"].asked[0].key == "ci"
    assert limits.out.count("tenant\tday\trequests\t100\t40\t60") == 1
    assert "kept by us-east" in limits.out
    assert [line.split("\t")[:2] for line in objectives.out.splitlines()] == [
        ["eu-west", "tier pro"],
        ["us-east", "tier pro"],
    ]
    assert list(levels.data["regions"]) == ["eu-west"]
    assert levels.data["regions"]["eu-west"][0]["level"] == "SERVICE_LEVEL_EMERGENCY"


async def test_a_real_admission_service_answers(
    trunkline: Map, control: Control, map_etcd: EtcdServer, tmp_path: Path
) -> None:
    """Without Redis it tells its local share, of pro a quarter; no journal is there, so nothing was used."""
    token = tmp_path / "service.jwt"
    token.write_text(control.issuer.token(tenant=None, roles=["service"]))
    settings = AdmissionSettings(
        region="us-east",
        etcd_endpoints=map_etcd.endpoint,
        jwks=str(control.issuer.jwks_path),
        issuer=ISSUER,
        audience=AUDIENCE,
        service_token_path=token,
        redis_url=SecretStr("redis://127.0.0.1:1/0"),
        drain_settle_s=0.0,
        drain_grace_s=1.0,
    )
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(open_app(settings))
        running = await start(app, settings, stack)
        await trunkline.run("region", "put", "us-east", "--endpoint", f"admission=127.0.0.1:{running.port}")
        await trunkline.run("tenant", "create", "vesta", "--tier", "pro", "--jurisdiction", "us")
        await trunkline.run("tenant", "set", "vesta", "--requests-per-day", "500", "--key", "ci=7")
        limits = await trunkline.run("tenant", "limits", "vesta", "--key", "ci")
        usage = await trunkline.run("tenant", "usage", "vesta", "--json")
        levels = await trunkline.run("levels", "--region", "us-east")

    assert "vesta in us-east: pro, rank 1, level normal" in limits.out
    assert "kept here, of this replica alone" in limits.out
    assert "tenant\tday\trequests\t125\t" in limits.out
    assert "key\trate\trequests\t" in limits.out
    assert (usage.data["requests"], usage.data["lines"]) == (0, [])
    assert [line.split("\t")[1:3] for line in levels.out.splitlines()] == [
        ["free", "normal"],
        ["pro", "normal"],
        ["enterprise", "normal"],
    ]


async def test_tier_files_are_shown_and_checked(trunkline: Map, tmp_path: Path) -> None:
    """What `show --yaml` prints is a tier file; a wrong one is told with its field."""
    shown = await trunkline.run("tiers", "show", "--json")
    path = tmp_path / "tiers.yaml"
    path.write_text((await trunkline.run("tiers", "show", "--yaml")).out, encoding="utf-8")
    right = await trunkline.run("tiers", "check", str(path), "--json")
    path.write_text(path.read_text(encoding="utf-8").replace("rank: 2", "rank: 1"), encoding="utf-8")
    wrong = await trunkline("tiers", "check", str(path))

    assert json.loads(shown.out)["tiers"]["free"]["tenant"]["requests_per_day"] == 100
    assert right.data["tiers"] == ["free", "pro", "enterprise"]
    assert (wrong.code, "no two tiers may share a rank" in wrong.err) == (2, True)
