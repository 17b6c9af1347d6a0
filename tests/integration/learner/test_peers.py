# method names are the contract's
"""A call that reaches a learner that is not in charge is handed on once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from tests.unit.learner.world import World, learner_of, text_of, world

from trunkline.routing.v1 import learning_service_pb2 as learning_pb
from trunkline.routing.v1 import learning_service_pb2_grpc as learning_grpc
from trunkline_local.identity import AUDIENCE, ISSUER, DevIdentity
from trunkline_map.entries import RegionState
from trunkline_map.testing import region
from trunkline_mesh.app import MeshApp
from trunkline_mesh.serving import start
from trunkline_routing.learner.app import binding_of
from trunkline_routing.learner.duty import region_in_charge
from trunkline_routing.settings import RoutingSettings

REGIONS = ("eu-south", "eu-west")


class Pair:
    """Two learners of one map, and who is in charge of acme."""

    def __init__(self, there: World, ports: dict[str, int], identity: DevIdentity) -> None:
        self.world = there
        self.ports = ports
        self.identity = identity
        tenant = there.source.snapshot.tenant("acme")
        assert tenant is not None
        in_charge = region_in_charge(there.source.snapshot, tenant, REGIONS[0])
        assert in_charge is not None
        self.in_charge = in_charge
        self.other = next(name for name in REGIONS if name != in_charge)

    async def learn(self, region_id: str, *metadata: tuple[str, str]) -> learning_pb.LearnResponse:
        """Ask the learner of a region."""
        token = self.identity.mint("ada", tenant="acme", roles=("admin",))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.ports[region_id]}") as channel:
            stub = learning_grpc.LearningServiceStub(channel)
            request: Any = learning_pb.LearnRequest()
            answer: learning_pb.LearnResponse = await stub.Learn(
                request, metadata=(("authorization", f"Bearer {token}"), *metadata), timeout=20
            )
            return answer

    def looked(self, region_id: str) -> bool:
        """Return True if that region's learner has looked at acme's feedback."""
        return self.learners[region_id].journal.last("acme")[0] is not None

    learners: dict[str, Any]


@pytest.fixture
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """Two learners that serve."""
    identity = DevIdentity.create(tmp_path_factory.mktemp("identity"))
    there = world("acme")
    await there.control.put_policy("acme", text_of())
    async with AsyncExitStack() as stack:
        ports, learners = {}, {}
        for name in REGIONS:
            learners[name] = learner_of(there.backends, there.control, region_id=name)
            settings = RoutingSettings(
                role="learner",
                region=name,
                jwks=str(identity.jwks_path),
                issuer=ISSUER,
                audience=AUDIENCE,
                drain_settle_s=0.0,
                drain_grace_s=1.0,
            )
            app = MeshApp("routing-learner", (binding_of(learners[name].servicer),))
            ports[name] = (await start(app, settings, stack)).port
        there.source.put(*(region(name, "eu", learning=f"127.0.0.1:{port}") for name, port in ports.items()))
        opened = Pair(there, ports, identity)
        opened.learners = learners
        yield opened


async def test_a_call_is_handed_on_to_the_learner_in_charge(pair: Pair) -> None:
    """With the caller's own credential; the other does nothing itself."""
    answer = await pair.learn(pair.other)
    assert "0 of 10" in answer.outcome
    assert pair.looked(pair.in_charge)
    assert not pair.looked(pair.other)


async def test_a_call_is_handed_on_once(pair: Pair) -> None:
    """However the maps differ, it ends where it arrives."""
    await pair.learn(pair.other, ("trunkline-learner-forwarded", "1"))
    assert pair.looked(pair.other)
    assert not pair.looked(pair.in_charge)


async def test_a_learner_that_is_gone_is_done_without(pair: Pair) -> None:
    """The one that was asked looks itself; and once the map says that the region is down, it is in charge."""
    pair.world.source.put(region(pair.in_charge, "eu", learning="127.0.0.1:1"))
    await pair.learn(pair.other)
    assert pair.looked(pair.other)
    pair.world.source.put(region(pair.in_charge, "eu", state=RegionState.DOWN))
    assert "0 of 10" in (await pair.learn(pair.other)).outcome
