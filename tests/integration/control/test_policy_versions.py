"""Versions, heads and rollouts of policies over a real etcd: live everywhere, gone back to, and never half written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.integration.control.caller import Caller, Refused
from tests.integration.control.conftest import Control
from tests.integration.control.entries import collection, furnish, policy
from tests.integration.map.etcd_server import EtcdServer
from tests.integration.map.test_stopped_process import answer_of, watching_process

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline.control.v1 import policy_service_pb2 as policy_pb
from trunkline_client import ControlClient, HowToChange
from trunkline_client.errors import TrunklineError
from trunkline_map.blob import FileBlobStore, digest_of
from trunkline_map.entries import PolicyPointer, RolloutState
from trunkline_mesh.deadline import Deadline


@pytest.fixture
async def op(control: Control) -> Caller:
    """An operator of a map in which `acme` of {eu, us} has the collection `docs`."""
    operator = control.operator
    await furnish(operator)
    await operator(operator.collections.PutCollection, collection("acme", "docs", "eu-west"))
    return operator


@pytest.fixture
async def client(control: Control, op: Caller) -> ControlClient:
    """The client of an operator."""
    return ControlClient([control.endpoint], control.issuer.token(sub="olga", tenant=None, roles=["operator"]))


def entry(yaml: str, revision: int = 0) -> policy_pb.Policy:
    return policy_pb.Policy(tenant_id="acme", yaml=yaml, revision=revision)


async def head_of(control: Control, text: str, *jurisdictions: str) -> policy_pb.PolicyHead:
    """Put a head's blob into jurisdictions; return what is noted of it."""
    for jurisdiction in jurisdictions:
        await FileBlobStore(control.blob_dir).put(jurisdiction, b"head")
    return policy_pb.PolicyHead(
        policy_digest=digest_of(text.encode()),
        digest=digest_of(b"head"),
        size_bytes=4,
        space_id="minilm",
        model_id="minilm",
        model_revision="1",
        basis_digest="0" * 64,
    )


async def pointer_at(control: Control, map_token: bytes) -> PolicyPointer:
    assert await control.watcher.wait_ready(20)
    found = (await control.watcher.at_least(map_token, Deadline.after(20))).policy("acme")
    assert found is not None
    return found


async def test_a_policy_is_live_in_another_process(op: Caller, etcd: EtcdServer) -> None:
    """One that watches the map shows the version that a token names, whoever wrote it."""
    async with watching_process(etcd.endpoint, "acme") as router:
        revision = 0
        for version in (1, 2):
            put = await op(op.policies.PutPolicy, policy("acme", "docs " * version, revision))
            revision = put.policy.revision
            assert router.stdin is not None
            router.stdin.write(put.map_token.hex().encode() + b"\n")

            assert await answer_of(router) == f"True {version}"


async def test_going_back_to_the_first_of_many_versions(control: Control, client: ControlClient) -> None:
    """After 30 changes its text is the policy again, and the list says where it came from."""
    async with client:
        put = await client.put_policy(entry("docs"), HowToChange(comment="the first"))
        for number in range(1, 30):
            put = await client.put_policy(entry(f"docs #{number}", put.value.revision))

        back = await client.roll_back_policy("acme", 1, put.value.revision, HowToChange(comment="they were worse"))

        assert (back.value.yaml, back.value.version) == ("docs", 31)
        assert (await client.policy("acme")).value.yaml == "docs"
        assert (await client.policy("acme", version=30)).value.yaml == "docs #29"
        newest, *_, oldest = await client.policy_versions("acme")
        assert (newest.version, newest.restored_version, newest.comment) == (31, 1, "they were worse")
        assert (oldest.version, oldest.actor, oldest.comment) == (1, "olga", "the first")
        assert [each.version for each in await client.policy_versions("acme", limit=2)] == [31, 30]
    assert (await pointer_at(control, back.map_token)).digest == digest_of(b"docs")


async def test_of_two_writers_at_once_one_is_told(op: Caller) -> None:
    """Exactly one version comes of it, and it is the text of the one that was not refused."""
    first = (await op(op.policies.PutPolicy, policy("acme", "docs"))).policy

    outcomes = await asyncio.gather(
        *(op(op.policies.PutPolicy, policy("acme", f"docs #{name}", first.revision)) for name in "ab"),
        return_exceptions=True,
    )

    refused = [each for each in outcomes if isinstance(each, Refused)]
    [won] = [each for each in outcomes if isinstance(each, policy_pb.PutPolicyResponse)]
    assert [each.reason for each in refused] == ["REVISION_CONFLICT"]
    now = (await op(op.policies.GetPolicy, policy_pb.GetPolicyRequest(tenant_id="acme"))).policy
    assert (now.version, now.yaml) == (2, won.policy.yaml)


async def test_a_crash_between_blob_and_pointer_leaves_a_blob_alone(control: Control, op: Caller) -> None:
    """Whoever writes that text later finds it in place; nobody is served by it before."""
    put = (await op(op.policies.PutPolicy, policy("acme", "docs"))).policy
    for jurisdiction in ("eu", "us"):
        await FileBlobStore(control.blob_dir).put(jurisdiction, b"docs docs")  # and then the control role died

    versions = await op(op.policies.ListPolicyVersions, policy_pb.ListPolicyVersionsRequest(tenant_id="acme"))
    assert [each.version for each in versions.versions] == [1]
    assert (await op(op.policies.GetPolicy, policy_pb.GetPolicyRequest(tenant_id="acme"))).policy == put
    again = await op(op.policies.PutPolicy, policy("acme", "docs docs", put.revision))
    assert again.policy.version == 2


async def test_a_dry_run_writes_nothing(control: Control, client: ControlClient) -> None:
    """Neither blobs nor a version, of a policy or of a rollout."""
    dry = HowToChange(dry_run=True)
    async with client:
        told = await client.put_policy(entry("docs"), dry)
        assert (told.value.version, control.blob_dir.exists()) == (1, False)
        put = await client.put_policy(entry("docs"))
        blobs = set(control.blob_dir.rglob("*"))

        await client.put_policy(entry("docs #1", put.value.revision), dry)
        await client.put_rollout("acme", policy_pb.Rollout(state=policy_pb.ROLLOUT_STATE_SHADOW), "docs #2", dry)

        assert set(control.blob_dir.rglob("*")) == blobs
        assert (await client.policy("acme")).value == put.value


async def test_a_learner_takes_a_rollout_all_the_way(control: Control, op: Caller) -> None:
    """A service that acts for the tenant notes heads, proposes, widens and applies, and every watcher sees it."""
    learner = control.learner("acme")
    await op(op.policies.PutPolicy, policy("acme", "docs"))
    head = await head_of(control, "docs #new", "eu", "us")
    begin = policy_pb.PutRolloutRequest(
        rollout=policy_pb.Rollout(state=policy_pb.ROLLOUT_STATE_SHADOW, share=1.0, evaluation={"samples": 12}),
        yaml="docs #new",
    )

    begun = (await learner(learner.policies.PutRollout, begin)).rollout
    noted = await learner(learner.policies.PutPolicyHead, policy_pb.PutPolicyHeadRequest(head=head))
    begun.state, begun.share = policy_pb.ROLLOUT_STATE_CANARY, 0.1
    moved = await learner(learner.policies.PutRollout, policy_pb.PutRolloutRequest(rollout=begun))
    canary = (await pointer_at(control, moved.map_token)).rollout
    end = policy_pb.EndRolloutRequest(rollout_id=begun.rollout_id, apply=True)
    applied = await learner(learner.policies.EndRollout, end)

    assert noted.policy.rollout.rollout_id == begun.rollout_id
    assert canary is not None
    assert (canary.state, canary.share, canary.actor) == (RolloutState.CANARY, 0.1, "learner")
    assert (applied.policy.version, applied.policy.yaml) == (2, "docs #new")
    assert [each.digest for each in applied.policy.heads] == [head.digest]
    live = await pointer_at(control, applied.map_token)
    assert (live.digest, live.rollout) == (digest_of(b"docs #new"), None)
    back = policy_pb.RollBackPolicyRequest(version=1, revision=applied.policy.revision)
    assert (await learner(learner.policies.RollBackPolicy, back)).policy.yaml == "docs"


async def test_a_head_must_lie_wherever_routers_look_for_it(control: Control, client: ControlClient) -> None:
    """In each of the policy's jurisdictions; then it is told with the policy."""
    async with client:
        await client.put_policy(entry("docs"))
        head = await head_of(control, "docs", "eu")
        with pytest.raises(TrunklineError) as error:
            await client.put_policy_head("acme", head)
        assert error.value.reason == "FIELD_INVALID"

        await head_of(control, "docs", "us")
        await client.put_policy_head("acme", head)

        assert list((await client.policy("acme")).value.heads) == [head]
        rollout = policy_pb.Rollout(state=policy_pb.ROLLOUT_STATE_PROPOSED, comment="try this")
        begun = await client.put_rollout("acme", rollout, "#")
        assert (await client.policy("acme", rollout=True)).value.yaml == "#"
        dropped = await client.end_rollout("acme", begun.value.rollout_id, apply=False)
        assert (dropped.value.version, dropped.value.HasField("rollout")) == (1, False)


@pytest.mark.parametrize("who", ["member", "stranger", "nobodys learner"])
async def test_others_tend_no_policy(control: Control, op: Caller, who: str) -> None:
    """Neither the tenant's people without a role, nor another tenant's admin, nor a service that acts for another."""
    caller = {
        "member": control.member("acme"),
        "stranger": control.admin("other"),
        "nobodys learner": control.learner("other"),
    }[who]
    head = await head_of(control, "docs", "eu", "us")
    requests: list[tuple[Any, Any]] = [
        (caller.policies.RollBackPolicy, policy_pb.RollBackPolicyRequest(tenant_id="acme", version=1)),
        (caller.policies.PutPolicyHead, policy_pb.PutPolicyHeadRequest(tenant_id="acme", head=head)),
        (
            caller.policies.PutRollout,
            policy_pb.PutRolloutRequest(
                tenant_id="acme", rollout=policy_pb.Rollout(state=policy_pb.ROLLOUT_STATE_SHADOW), yaml="docs"
            ),
        ),
        (caller.policies.EndRollout, policy_pb.EndRolloutRequest(tenant_id="acme", rollout_id="0" * 16)),
    ]

    for method, request in requests:
        with pytest.raises(Refused) as refused:
            await caller(method, request)
        assert refused.value.reason == ("METHOD_NOT_ALLOWED" if who == "member" else "TENANT_MISMATCH")


async def test_requests_that_make_no_sense_are_told(op: Caller) -> None:
    """With the field that is wrong."""
    await op(op.policies.PutPolicy, policy("acme", "docs"))
    shadow = policy_pb.Rollout(rollout_id="0" * 16, state=policy_pb.ROLLOUT_STATE_SHADOW)
    cases: list[tuple[Any, Any, str]] = [
        (op.policies.GetPolicy, policy_pb.GetPolicyRequest(version=1, rollout=True), "version"),
        (op.policies.ListPolicyVersions, policy_pb.ListPolicyVersionsRequest(page_size=1001), "page_size"),
        (op.policies.RollBackPolicy, policy_pb.RollBackPolicyRequest(), "version"),
        (op.policies.PutRollout, policy_pb.PutRolloutRequest(rollout=shadow, yaml="docs"), "yaml"),
        (
            op.policies.PutPolicy,
            policy_pb.PutPolicyRequest(
                policy=policy_pb.Policy(yaml="docs"), options=changes_pb.ChangeOptions(comment="x" * 257)
            ),
            "options.comment",
        ),
    ]

    for method, request, field in cases:
        named = request.policy if isinstance(request, policy_pb.PutPolicyRequest) else request
        named.tenant_id = "acme"
        with pytest.raises(Refused) as refused:
            await op(method, request)
        assert refused.value.fields == [field]
