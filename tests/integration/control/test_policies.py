"""Policies: checked, kept in each of the tenant's jurisdictions, pointed to by the map."""

from __future__ import annotations

import shutil

import pytest
from tests.integration.control.caller import Caller, Refused
from tests.integration.control.conftest import Control
from tests.integration.control.entries import collection, furnish, policy, tenant

from trunkline.control.v1 import policy_service_pb2 as policy_pb
from trunkline.control.v1 import tenant_service_pb2 as tenant_pb
from trunkline_map.blob import digest_of
from trunkline_map.keys import Kind, MapKey
from trunkline_mesh.deadline import Deadline


async def get(op: Caller) -> policy_pb.GetPolicyResponse:
    return await op(op.policies.GetPolicy, policy_pb.GetPolicyRequest(tenant_id="acme"))


@pytest.fixture
async def op(control: Control) -> Caller:
    """An operator of a map in which `acme` of {eu, us} has the collection `docs`."""
    operator = control.operator
    await furnish(operator)
    await operator(operator.collections.PutCollection, collection("acme", "docs", "eu-west"))
    return operator


def blobs_in(control: Control, jurisdiction: str) -> set[str]:
    return {path.name for path in (control.blob_dir / jurisdiction).rglob("*") if path.is_file()}


async def test_a_policy_is_read_as_written(control: Control, op: Caller) -> None:
    """Its text by its digest, in both jurisdictions; the pointer in the map, read by the change's token."""
    put = await op(op.policies.PutPolicy, policy("acme", "docs\n"))

    got = (await get(op)).policy
    assert got == put.policy
    assert (got.yaml, got.version, got.digest) == ("docs\n", 1, digest_of(b"docs\n"))
    assert blobs_in(control, "eu") == blobs_in(control, "us") == {got.digest, digest_of(b"form of docs\n")}
    assert await control.watcher.wait_ready(20)
    pointer = (await control.watcher.at_least(put.map_token, Deadline.after(20))).policy("acme")
    assert pointer is not None
    assert (pointer.version, pointer.digest, pointer.jurisdictions) == (1, got.digest, frozenset({"eu", "us"}))
    assert pointer.size_bytes == 5


async def test_versions_count_up_and_revisions_guard(op: Caller) -> None:
    """A second writer of the same revision is told; the text that it meant to replace stays."""
    first = (await op(op.policies.PutPolicy, policy("acme", "docs"))).policy
    second = (await op(op.policies.PutPolicy, policy("acme", "docs docs", first.revision))).policy

    assert second.version == 2
    for stale in (0, first.revision):
        with pytest.raises(Refused) as refused:
            await op(op.policies.PutPolicy, policy("acme", "docs docs docs", stale))
        assert refused.value.reason == "REVISION_CONFLICT"
    assert (await get(op)).policy == second


async def test_a_policy_that_the_check_refuses_is_not_kept(control: Control, op: Caller) -> None:
    """Neither text that is no policy nor one that names an unknown collection."""
    for yaml, reason in (("!", "FIELD_INVALID"), ("", "FIELD_INVALID"), ("docs other", "COLLECTION_UNKNOWN")):
        with pytest.raises(Refused) as refused:
            await op(op.policies.PutPolicy, policy("acme", yaml))
        assert refused.value.reason == reason

    assert not control.blob_dir.exists()
    with pytest.raises(Refused) as refused:
        await get(op)
    assert refused.value.reason == "POLICY_UNKNOWN"


async def test_a_policy_needs_its_tenant(op: Caller) -> None:
    """Reads and writes of nobody's policy."""
    with pytest.raises(Refused) as refused:
        await op(op.policies.PutPolicy, policy("nobody", "docs"))
    assert refused.value.reason == "TENANT_UNKNOWN"
    with pytest.raises(Refused) as refused:
        await op(op.policies.GetPolicy, policy_pb.GetPolicyRequest(tenant_id="nobody"))
    assert refused.value.reason == "TENANT_UNKNOWN"


async def test_any_jurisdictions_copy_will_do(control: Control, op: Caller) -> None:
    """One lost folder is no loss; all of them lost is told as the store's failure."""
    await op(op.policies.PutPolicy, policy("acme", "docs"))
    shutil.rmtree(control.blob_dir / "eu")
    assert (await get(op)).policy.yaml == "docs"
    shutil.rmtree(control.blob_dir / "us")

    with pytest.raises(Refused) as refused:
        await get(op)

    assert refused.value.reason == "BACKEND_UNAVAILABLE"


async def test_a_tenant_that_shrinks_takes_its_policy_along(control: Control, op: Caller) -> None:
    """The pointer no longer leads to a jurisdiction that the tenant left; the text is still read."""
    other = (await op(op.tenants.PutTenant, tenant("other", "eu", "us"))).tenant
    await op(op.collections.PutCollection, collection("other", "docs", "us-east", jurisdictions=["us"]))
    await op(op.policies.PutPolicy, policy("other", "docs"))
    assert await control.watcher.wait_ready(20)

    shrunk = await op(op.tenants.PutTenant, tenant("other", "us", revision=other.revision))

    pointer = (await control.watcher.at_least(shrunk.map_token, Deadline.after(20))).policy("other")
    assert pointer is not None
    assert pointer.jurisdictions == frozenset({"us"})
    shutil.rmtree(control.blob_dir / "eu")
    got = await op(op.policies.GetPolicy, policy_pb.GetPolicyRequest(tenant_id="other"))
    assert got.policy.yaml == "docs"


async def test_a_tenant_does_not_leave_its_policy_behind(op: Caller) -> None:
    """Moving to other jurisdictions goes by way of both, so that the text can follow."""
    other = (await op(op.tenants.PutTenant, tenant("other", "eu"))).tenant
    await op(op.policies.PutPolicy, policy("other", "#"))

    with pytest.raises(Refused) as refused:
        await op(op.tenants.PutTenant, tenant("other", "us", revision=other.revision))

    assert refused.value.reason == "RESIDENCY_VIOLATION"


async def test_a_tenant_leaves_with_its_policy(control: Control, op: Caller) -> None:
    """A new tenant of the same name does not inherit it."""
    await op(op.tenants.PutTenant, tenant("other", "eu"))
    await op(op.policies.PutPolicy, policy("other", "#"))
    assert await control.watcher.wait_ready(20)

    removed = await op(op.tenants.DeleteTenant, tenant_pb.DeleteTenantRequest(tenant_id="other"))

    assert (await control.watcher.at_least(removed.map_token, Deadline.after(20))).policy("other") is None
    key = MapKey(Kind.POLICY, "other").encode()
    assert not (await control.store.read([key], timeout_s=5)).items
