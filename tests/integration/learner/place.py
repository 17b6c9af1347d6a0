# ruff: noqa: N802  # method names are the contract's
"""A region with a learner: real etcd, control role and learner on real servers; inference and a router that play."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from tests.integration.map.etcd_server import EtcdServer
from tests.unit.learner.world import DIMENSION, vector_of

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline.inference.v1 import inference_service_pb2 as inference_pb
from trunkline.inference.v1 import inference_service_pb2_grpc as inference_grpc
from trunkline.routing.v1 import learning_service_pb2_grpc as learning_grpc
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from trunkline_client import Conflict, ControlClient, if_known
from trunkline_local.identity import AUDIENCE, ISSUER, DevIdentity
from trunkline_local.ports import PortAllocator
from trunkline_local.readiness import eventually
from trunkline_map.entries import HeadPointer, PolicyPointer
from trunkline_map.etcd import open_etcd
from trunkline_map.watcher import MapWatcher, watching
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.serving import start
from trunkline_routing.app import open_app
from trunkline_routing.feedback.journal import FileFeedbackStore
from trunkline_routing.settings import RoutingSettings

Context = grpc.aio.ServicerContext[Any, Any]
REGION = "eu-west"


@dataclass
class Played(inference_grpc.InferenceServiceServicer, routing_grpc.RoutingServiceServicer):
    """Embeds by words, decides nothing; notes whose credentials came."""

    credentials: list[str] = field(default_factory=list)
    routed: list[str] = field(default_factory=list)

    async def Embed(self, request: inference_pb.EmbedRequest, context: Context) -> inference_pb.EmbedResponse:
        self.credentials += [str(value) for key, value in context.invocation_metadata() or () if key == "authorization"]
        return inference_pb.EmbedResponse(
            embeddings=[inference_pb.Embedding(values=vector_of(text).tolist()) for text in request.texts]
        )

    async def Route(self, request: routing_pb.RouteRequest, context: Context) -> routing_pb.RouteResponse:
        self.routed.append(request.text)
        decision = trail_pb.Decision(strategy=trail_pb.STRATEGY_RULES)
        return routing_pb.RouteResponse(
            trail=trail_pb.Trail(decision=decision, collections=[trail_pb.CollectionTrail(collection="billing")])
        )


@dataclass
class Place:
    """Everything that a test talks to."""

    control: ControlClient
    watcher: MapWatcher
    learner: learning_grpc.LearningServiceStub
    store: FileFeedbackStore
    identity: DevIdentity
    played: Played

    def credential(self, **claims: Any) -> tuple[tuple[str, str], ...]:
        """Return metadata of a caller."""
        return (("authorization", f"Bearer {self.identity.mint('tester', **claims)}"),)

    def admin(self, tenant_id: str = "acme") -> tuple[tuple[str, str], ...]:
        """Return metadata of a tenant's admin."""
        return self.credential(tenant=tenant_id, roles=["admin"])

    async def put_policy(self, yaml: str, tenant_id: str = "acme") -> None:
        """Write a new policy and wait until the map tells of it here."""
        while True:
            found = await if_known(self.control.policy(tenant_id))
            revision = 0 if found is None else found.value.revision
            policy = policies_pb.Policy(tenant_id=tenant_id, yaml=yaml, revision=revision)
            try:
                written = await self.control.put_policy(policy)
                break
            except Conflict:
                continue  # a head was noted in between
        await self.watcher.at_least(written.map_token, Deadline.after(10))

    def pointer(self, tenant_id: str = "acme") -> PolicyPointer:
        """Return where the tenant's policy lies."""
        pointer = self.watcher.snapshot.policy(tenant_id)
        assert pointer is not None
        return pointer

    async def headed(self) -> HeadPointer:
        """Wait until a head for acme's live policy is noted; return it."""

        async def noted() -> bool:
            return bool(self.pointer().heads)

        assert await eventually(noted, within_s=60)
        return self.pointer().heads[0]

    async def headed_rollout(self) -> HeadPointer:
        """Wait until a head for the text of acme's rollout is noted; return it."""

        async def noted() -> bool:
            rollout = self.pointer().rollout
            return rollout is not None and bool(rollout.heads)

        assert await eventually(noted, within_s=60)
        rollout = self.pointer().rollout
        assert rollout is not None
        return rollout.heads[0]


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Return the contract's reason of a refusal."""
    status: Any = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            return str(info.reason)
    return ""


@asynccontextmanager
async def open_place(etcd: EtcdServer, folder: Path) -> AsyncIterator[Place]:
    """Open the region with one tenant of the EU and one of the US, and their collections."""
    async with AsyncExitStack() as stack:
        identity = DevIdentity.create(folder / "identity")
        common = {
            "etcd_endpoints": etcd.endpoint,
            "jwks": str(identity.jwks_path),
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "blob_dir": folder / "blobs",
            "feedback_dir": folder / "feedback",
            "drain_settle_s": 0.0,
            "drain_grace_s": 1.0,
        }
        control_at = await _serve(RoutingSettings(role="control", region="control", **common), stack)  # type: ignore[arg-type]  # of the settings
        learner_settings = RoutingSettings(
            role="learner",
            region=REGION,
            learner_control_endpoints=control_at,
            learner_acting_key_path=identity.folder / "signing-key.pem",
            learner_acting_key_id=identity.key_id,
            learner_poll_s=0.05,
            **common,  # type: ignore[arg-type]  # as above
        )
        learner_at = await _serve(learner_settings, stack)
        played = Played()  # type: ignore[abstract]  # what it does not play is UNIMPLEMENTED
        played_at = await _play(played, stack)
        token = identity.mint("operator", roles=("operator", "admin"))
        control = await stack.enter_async_context(ControlClient([control_at], token))
        await _seed(control, learner_at, played_at)
        store = await stack.enter_async_context(open_etcd([etcd.endpoint]))
        watcher = await stack.enter_async_context(watching(store))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(learner_at))
        feedback = FileFeedbackStore(folder / "feedback")
        yield Place(control, watcher, learning_grpc.LearningServiceStub(channel), feedback, identity, played)


async def _serve(settings: RoutingSettings, stack: AsyncExitStack) -> str:
    app = await stack.enter_async_context(open_app(settings))
    running = await start(app, settings, stack)
    return f"127.0.0.1:{running.port}"


async def _play(played: Played, stack: AsyncExitStack) -> str:
    server = grpc.aio.server()
    inference_grpc.add_InferenceServiceServicer_to_server(played, server)
    routing_grpc.add_RoutingServiceServicer_to_server(played, server)
    ports = PortAllocator()
    stack.callback(ports.close)
    port = server.add_insecure_port(f"127.0.0.1:{ports.take()}")
    await server.start()
    stack.push_async_callback(server.stop, None)
    return f"127.0.0.1:{port}"


async def _seed(control: ControlClient, learner_at: str, played_at: str) -> None:
    endpoints = entries_pb.RegionEndpoints(learning=[learner_at], inference=[played_at], routing=[played_at])
    serving = entries_pb.REGION_STATE_SERVING
    await control.put_region(entries_pb.Region(region_id=REGION, jurisdiction="eu", state=serving, endpoints=endpoints))
    await control.put_region(entries_pb.Region(region_id="us-east", jurisdiction="us", state=serving))
    await control.put_space(
        entries_pb.Space(space_id="words", model_id="words", model_revision="1", dimension=DIMENSION)
    )
    for tenant_id, region_id, jurisdiction in (("acme", REGION, "eu"), ("yank", "us-east", "us")):
        active = entries_pb.TENANT_STATE_ACTIVE
        await control.put_tenant(
            entries_pb.Tenant(tenant_id=tenant_id, tier="pro", jurisdictions=[jurisdiction], state=active)
        )
        for name in ("billing", "network"):
            collection = entries_pb.Collection(
                tenant_id=tenant_id, collection_id=name, space_id="words", placement=[region_id]
            )
            collection.shared_shard.shard = 0
            await control.put_collection(collection)
