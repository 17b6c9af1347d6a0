"""Commands of single entries, of approvals and of the map as a whole, against a real control role over a real etcd."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tests.integration.cli.command import Map
from tests.integration.control.conftest import Control
from tests.integration.map.etcd_server import EtcdServer

from trunkline_cli.commands.drain import ROUTING_SERVICE
from trunkline_map import audit
from trunkline_map.store import Transaction

NOTES: Final = ("notes", "--tenant", "acme")


@pytest.fixture
async def router() -> AsyncIterator[tuple[str, health.aio.HealthServicer]]:
    """A server that tells the health of a region's router."""
    servicer, server = health.aio.HealthServicer(), grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await servicer.set(ROUTING_SERVICE, health_pb2.HealthCheckResponse.SERVING)
    yield f"127.0.0.1:{port}", servicer
    await server.stop(None)


async def test_a_drain_waits_until_routers_ask_to_be_left(
    trunkline: Map, router: tuple[str, health.aio.HealthServicer]
) -> None:
    """Not before: the command ends when the region's own router says so; one that cannot be reached is told."""
    address, servicer = router
    await trunkline.run("region", "put", "eu-west", "--endpoint", f"routing={address},127.0.0.1:9")
    process = await trunkline.start("region", "drain", "eu-west", "--comment", "new kernel", "--json")
    async with asyncio.timeout(30):
        while "draining" not in (await trunkline("region", "get", "eu-west")).out.lower():
            assert process.returncode is None
    assert process.returncode is None
    await servicer.set(ROUTING_SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING)
    out, _ = await asyncio.wait_for(process.communicate(), 30)

    told = json.loads(out)
    assert process.returncode == 0
    assert told["entry"]["state"] == "REGION_STATE_DRAINING"
    assert told["routers"] == [
        {"router": address, "state": "left"},
        {"router": "127.0.0.1:9", "state": "unreachable"},
    ]


async def test_a_drain_that_is_not_heard_says_so(trunkline: Map, router: tuple[str, health.aio.HealthServicer]) -> None:
    """The wait is bounded; what still takes searches is named, and the region stays drained."""
    await trunkline.run("region", "put", "eu-west", "--endpoint", f"routing={router[0]}")

    done = await trunkline("region", "drain", "eu-west", "--wait-s", "0.5")
    back = await trunkline("region", "undrain", "eu-west", "--ramp-s", "120", "--json")

    assert (done.code, f"still take searches: {router[0]}" in done.out) == (1, True)
    assert (back.data["entry"]["state"], back.data["entry"]["ramp"]) == ("REGION_STATE_SERVING", "120s")


async def test_the_last_region_is_not_drained(trunkline: Map) -> None:
    """The refusal names who would be left without one; a dry run says the same and changes nothing."""
    await trunkline.run("collection", "put", *NOTES, "--placement", "eu-west")

    for extra in ((), ("--dry-run",)):
        done = await trunkline("region", "drain", "eu-west", *extra, "--json")
        assert (done.code, done.data["error"]["reason"]) == (3, "LAST_ALLOWED_REGION")
    assert (await trunkline("region", "drain", "us-east", "--dry-run", "--no-wait")).code == 0
    assert '"REGION_STATE_SERVING"' in (await trunkline("region", "get", "us-east", "--json")).out


async def test_collections_from_making_to_removing(trunkline: Map) -> None:
    """Every option arrives; a removal asks, unless it is told not to."""
    await trunkline.run("region", "put", "eu-west", "--store", "own=10.0.0.9:6334@acme", "--store", "all=engine:second")
    made = await trunkline.run(
        "collection", "put", *NOTES, "--placement", "eu-west", "--dedicated-cluster", "--store", "eu-west=own",
        "--preference", "placement", "--comment", "for the audit", "--json",
    )  # fmt: skip
    listed = (await trunkline.run("collection", "list", "--tenant", "acme", "--json")).data["entries"]
    unasked = await trunkline("collection", "delete", *NOTES)
    dry = await trunkline.run("collection", "delete", *NOTES, "--dry-run")
    gone = await trunkline.run("collection", "delete", *NOTES, "--yes", "--json")
    history = (await trunkline.run("collection", "history", *NOTES)).out

    assert made.data["entry"]["region_stores"] == {"eu-west": "own"}
    assert "dedicated_cluster" in made.data["entry"]
    assert made.data["entry"]["preference"] == "REGION_PREFERENCE_PLACEMENT"
    assert listed == [made.data["entry"]]
    assert (unasked.code, "add --yes" in unasked.err) == (2, True)
    assert "would be removed" in dry.out
    assert gone.data["removed"] == "collection acme/notes"
    assert [line.startswith("    ") for line in history.splitlines()] == [False, True, False, True]
    assert history.splitlines()[1] == "    removed"
    assert history.splitlines()[2].endswith('(PutCollection): "for the audit"')


async def test_tenants_and_spaces_from_making_to_removing(trunkline: Map) -> None:
    """Suspended and back, told in the history field by field; one that is not there is not made by suspending it."""
    await trunkline.run("tenant", "put", "umbra", "--jurisdictions", "eu")
    await trunkline.run("tenant", "suspend", "umbra", "--comment", "unpaid")
    state = (await trunkline.run("tenant", "get", "umbra", "--json")).data["entry"]["state"]
    await trunkline.run("tenant", "resume", "umbra")
    history = (await trunkline.run("tenant", "history", "umbra")).out
    await trunkline.run("tenant", "delete", "umbra", "--yes")
    await trunkline.run("space", "put", "large", "--model", "e5", "--model-revision", "2", "--dimension", "1024")
    used = await trunkline("space", "delete", "minilm", "--yes", "--json")
    await trunkline.run("space", "delete", "large", "--yes")

    assert state == "TENANT_STATE_SUSPENDED"
    assert "    state: TENANT_STATE_ACTIVE -> TENANT_STATE_SUSPENDED\n" in history
    assert (await trunkline("tenant", "suspend", "nobody")).code == 3
    assert (await trunkline("tenant", "get", "umbra")).code == 3
    assert used.code == 0  # no collection uses it
    assert (await trunkline.run("space", "list")).out == ""


async def test_a_watch_tells_changes_until_it_is_stopped(trunkline: Map) -> None:
    """What is there, that it is up to date, then each change; one JSON object on each line."""
    process = await trunkline.start("map", "watch", "tenant", "--json")
    assert process.stdout is not None
    async with asyncio.timeout(30):
        start = [json.loads(await process.stdout.readline()) for _ in range(2)]
        await trunkline.run("tenant", "put", "acme", "--tier", "enterprise")
        change = json.loads(await process.stdout.readline())
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), 30)
    after = await trunkline("tenant", "watch", "--after", "zz")

    assert start[0]["written"]["tenant"]["tenant_id"] == "acme"
    assert start[1]["caught_up"] is True
    assert change["written"]["tenant"]["tier"] == "enterprise"
    assert process.returncode == 130
    assert after.code == 2


async def test_a_second_person_is_told_what_to_type(trunkline: Map, control: Control, tmp_path: Path) -> None:
    """The refusal has the id and both commands; approved, the repeat is carried out and the old tokens are refused."""
    old = (await trunkline.run("map", "status", "--json")).data["map_token"]
    refused = await trunkline("map", "renew-epoch", "--yes", "--comment", "restored")
    approval_id = refused.err.split("approval approve ", 1)[1].split("`")[0]
    listed = (await trunkline.run("approval", "list", "--json")).data["approvals"]
    own = await trunkline("approval", "approve", approval_id, "--yes")
    second = Map(tmp_path, {**trunkline.env})
    second.env["TRUNKLINE_TOKEN"] = control.issuer.token(sub="second", tenant=None, roles=["operator"])
    approved = await second.run("approval", "approve", approval_id, "--yes")
    repeated = await trunkline.run("map", "renew-epoch", "--yes", "--comment", "restored", "--approval", approval_id)
    watch = await trunkline("tenant", "watch", "--after", old, "--json")

    assert refused.code == 3
    assert f"`trunkline map renew-epoch --yes --comment restored --approval {approval_id}`" in refused.err, refused.err
    assert [each["approval_id"] for each in listed] == [approval_id]
    assert (own.code, "METHOD_NOT_ALLOWED" in own.err) == (3, True)
    assert f"{approval_id} approved by second: " in approved.out
    assert "the map has a new epoch" in repeated.out
    assert watch.data["error"]["reason"] == "MAP_TOKEN_INVALID"
    assert (await trunkline.run("approval", "list")).out == "no change waits for a second person\n"


async def test_an_approval_is_rejected(trunkline: Map) -> None:
    """By the one who asked: taken back."""
    refused = await trunkline("map", "renew-epoch", "--yes", "--json")
    approval_id = refused.data["error"]["metadata"]["approvalId"]

    assert "rejected" in (await trunkline.run("approval", "reject", approval_id)).out
    assert (await trunkline("map", "renew-epoch", "--yes", "--approval", approval_id)).code == 3


async def test_the_status_tells_members_and_entries(trunkline: Map, control: Control, map_etcd: EtcdServer) -> None:
    """Readable and as JSON; a value that was put by hand and cannot be read is counted and named."""
    data = (await trunkline.run("map", "status", "--json")).data
    text = (await trunkline.run("map", "status")).out

    counts = {each["kind"]: each.get("count", "0") for each in data["counts"]}
    assert counts["ENTRY_KIND_REGION"] == "2"
    assert counts["ENTRY_KIND_COLLECTION"] == "0"
    assert data["members"][0]["endpoint"] == map_etcd.endpoint
    assert data["members"][0]["leader"] is True
    assert f"{map_etcd.endpoint}\tleads\t" in text


async def test_the_history_is_verified(trunkline: Map, control: Control) -> None:
    """Whole as long as only the control role writes; a value changed past it shows."""
    await trunkline.run("collection", "put", *NOTES, "--placement", "eu-west")
    await trunkline.run("collection", "put", *NOTES, "--description", "Otters")
    whole = await trunkline.run("map", "audit", "verify", "--json")
    key = b"/trunkline/v1/collections/acme/notes"
    found = await control.store.read([key], timeout_s=5)
    forged = found.items[key].value.replace(b"Otters", b"Badger")
    await control.store.commit(Transaction(puts={key: forged}), timeout_s=5)
    broken = await trunkline("map", "audit", "verify", "--json")

    assert whole.data == {"entries": 5, "changes": 6, "problems": []}
    assert (broken.code, broken.data["problems"]) == (
        1,
        ["collection acme/notes: is not as its last known change left it"],
    )


async def test_a_backup_is_whole(trunkline: Map, map_etcd: EtcdServer) -> None:
    """etcd's snapshot; without a member that answers nothing is written."""
    path = trunkline.home / "map.snapshot"
    done = await trunkline.run("map", "backup", str(path), "--etcd", map_etcd.endpoint, "--json")
    lost = await trunkline("map", "backup", str(trunkline.home / "none"), "--etcd", "127.0.0.1:9")

    assert path.stat().st_size == done.data["size_bytes"]
    assert (lost.code, (trunkline.home / "none").exists()) == (1, False)
    assert (await trunkline("map", "backup", str(path), "--etcd", "nonsense")).code == 2


async def test_an_audit_log_is_verified(trunkline: Map, tmp_path: Path) -> None:
    """An unbroken chain tells its last hash; an altered line is named."""
    log = tmp_path / audit.file_name(1)
    first = audit.line_of({"revision": 5, "entry": "tenants/acme", "token": ""}, audit.GENESIS)
    second = audit.line_of({"revision": 6, "entry": "tenants/acme", "token": ""}, audit.hash_of(first))
    log.write_bytes(first + b"\n" + second + b"\n")
    whole = await trunkline.run("map", "audit", "verify", str(log), "--json")
    log.write_bytes(first.replace(b"5", b"4") + b"\n" + second + b"\n")
    broken = await trunkline("map", "audit", "verify", str(log))

    assert (whole.data["lines"], whole.data["last_hash"], whole.data["problem"]) == (2, audit.hash_of(second), None)
    assert (broken.code, "line 2: " in broken.out) == (1, True)
