"""`trunkline map` against the real control role over a real etcd."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from tests.integration.cli.command import Map
from tests.integration.control.conftest import Control

POLICY: Final = "version: 1\ncollections:\n  notes: {keywords: [otters]}\n"
NOTES: Final = ("put-collection", "notes", "--tenant", "acme")


@pytest.mark.parametrize(("kind", "name"), [("region", "eu-west"), ("tenant", "acme"), ("space", "minilm")])
async def test_entries_are_listed_and_read(trunkline: Map, kind: str, name: str) -> None:
    """A list has what reading one by one gives."""
    entries = await trunkline.data("list", kind)

    assert entries[0][f"{kind}_id"] == name
    assert await trunkline.data("get", kind, name) == entries[0]


async def test_entries_are_readable(trunkline: Map) -> None:
    """For people: a line for each entry of a list, a line for each field of one."""
    await trunkline.data(*NOTES, "--placement", "eu-west")

    assert (await trunkline("map", "list", "collection", "--tenant", "acme")).out.startswith("notes: tenant_id=acme, ")
    assert "placement: ['eu-west']\n" in (await trunkline("map", "get", "collection", "notes", "--tenant", "acme")).out


async def test_a_region_changes_its_state_alone(trunkline: Map) -> None:
    """Taken out and back in, it keeps its jurisdiction and addresses."""
    before = await trunkline.data("get", "region", "eu-west")
    drained = await trunkline.data("put-region", "eu-west", "--state", "draining")
    back = await trunkline.data("put-region", "eu-west", "--state", "serving")

    assert drained["state"] == "REGION_STATE_DRAINING"
    told_by_the_server = {"revision": "", "serve_time": ""}
    assert {**back, **told_by_the_server} == {**before, **told_by_the_server}
    assert (await trunkline("map", "put-region", "eu-west", "--state", "asleep")).code == 2


async def test_a_tenant_is_made_and_changed_in_parts(trunkline: Map) -> None:
    """A change of one property leaves the others: a lower quota does not lift a suspension, nor change the tier."""
    made = await trunkline.data("put-tenant", "nimbus", "--jurisdictions", "us,eu")
    suspended = await trunkline.data("put-tenant", "nimbus", "--tier", "pro", "--suspended")
    limited = await trunkline.data("put-tenant", "nimbus", "--quota", "20")
    active = await trunkline.data("put-tenant", "nimbus", "--active", "--quota", "0")
    without = await trunkline("map", "put-tenant", "cirrus")

    assert (made["tier"], made["jurisdictions"], made["state"]) == ("free", ["eu", "us"], "TENANT_STATE_ACTIVE")
    assert (suspended["tier"], suspended["state"]) == ("pro", "TENANT_STATE_SUSPENDED")
    assert (limited["tier"], limited["state"]) == ("pro", "TENANT_STATE_SUSPENDED")
    assert limited["quota_tokens_per_s"] == "20"  # as protobuf's JSON has 64 bits
    assert (active["state"], active["jurisdictions"]) == ("TENANT_STATE_ACTIVE", ["eu", "us"])
    assert "quota_tokens_per_s" not in active
    assert (without.code, "tenant.jurisdictions" in without.err) == (3, True)


async def test_a_collection_is_made_and_changed_in_parts(trunkline: Map) -> None:
    """A new description does not widen where the data may be; an empty list means the tenant's jurisdictions."""
    made = await trunkline.data(*NOTES, "--placement", "eu-west", "--jurisdictions", "eu", "--dedicated")
    described = await trunkline.data(*NOTES, "--description", "Otters")
    widened = await trunkline.data(*NOTES, "--jurisdictions", "", "--placement", "eu-west,us-east")

    assert (made["jurisdictions"], made["dedicated"]) == (["eu"], {})
    assert (described["placement"], described["jurisdictions"]) == (["eu-west"], ["eu"])
    assert (described["description"], described["dedicated"]) == ("Otters", {})
    assert (widened["placement"], widened["jurisdictions"]) == (["eu-west", "us-east"], ["eu", "us"])
    assert widened["description"] == "Otters"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((*NOTES, "--placement", "us-east", "--jurisdictions", "eu"), "RESIDENCY_VIOLATION"),
        (("get", "collection", "none", "--tenant", "acme"), "COLLECTION_UNKNOWN"),
        (("put-region", "mars", "--state", "down"), "REGION_UNKNOWN"),
    ],
)
async def test_refusals_have_their_reason(trunkline: Map, arguments: tuple[str, ...], reason: str) -> None:
    """Exit code 3, the contract's reason, no traceback."""
    done = await trunkline("map", *arguments, "--json")

    assert (done.code, done.data["error"]["reason"]) == (3, reason)
    assert "Traceback" not in done.err


async def test_a_layout_is_not_changed_under_the_documents(trunkline: Map) -> None:
    """A dedicated collection cannot be made a shared one: its documents would not be found."""
    await trunkline.data(*NOTES, "--placement", "eu-west", "--dedicated")

    done = await trunkline("map", *NOTES, "--shared")

    assert done.code == 3
    assert "collection.layout must stay as it is" in done.err


async def test_a_policy_is_checked_and_replaced(trunkline: Map, tmp_path: Path) -> None:
    """A good one gets a version; one of unknown collections and one that is no text change nothing."""
    await trunkline.data(*NOTES, "--placement", "eu-west")
    good, foreign, binary = (tmp_path / name for name in ("good.yaml", "foreign.yaml", "binary.yaml"))
    good.write_text(POLICY)
    foreign.write_text(POLICY.replace("notes", "others"))
    binary.write_bytes(b"\xff")

    written = await trunkline.data("put-policy", str(good), "--tenant", "acme")
    refused = [await trunkline("map", "put-policy", str(path), "--tenant", "acme") for path in (foreign, binary)]

    assert (written["yaml"], written["version"]) == (POLICY, "1")
    assert [(done.code, "Traceback" in done.err) for done in refused] == [(3, False), (2, False)]
    assert (await trunkline.data("get", "policy", "acme"))["version"] == "1"


async def test_collections_need_their_tenant(trunkline: Map) -> None:
    """Reading a collection without saying whose is wrong usage, told with what to add."""
    done = await trunkline("map", "list", "collection")

    assert done.code == 2
    assert "--tenant" in done.err


async def test_a_tenants_credential_changes_nothing(trunkline: Map, control: Control) -> None:
    """The map is the operator's."""
    trunkline.env["TRUNKLINE_TOKEN"] = control.issuer.token(roles=[])

    done = await trunkline("map", "put-tenant", "acme", "--tier", "enterprise")

    assert done.code == 3
    assert done.err.startswith("error: METHOD_NOT_ALLOWED")


async def test_ingest_creates_a_collection_but_keeps_where_one_may_be(trunkline: Map, control: Control) -> None:
    """`--create` on a collection that is there changes only what is named, before anything is written."""
    await trunkline.data(*NOTES, "--placement", "eu-west", "--jurisdictions", "eu", "--description", "Otters")
    text = trunkline.home / "a.md"
    text.write_text("# A\n\none")
    nowhere = f"{control.endpoint}"  # a router of role control alone: the entry is written, the documents are not
    ingest = ("ingest", str(text), "-c", "notes", "--tenant", "acme", "--create", "--router", nowhere)

    await trunkline(*ingest, "--deadline", "0.2")
    kept = await trunkline.data("get", "collection", "notes", "--tenant", "acme")
    unplaced = await trunkline("ingest", str(text), "-c", "new", "--tenant", "acme", "--create", "--router", nowhere)

    assert (kept["placement"], kept["jurisdictions"], kept["description"]) == (["eu-west"], ["eu"], "Otters")
    assert (unplaced.code, "--placement" in unplaced.err) == (2, True)
