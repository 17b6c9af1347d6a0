"""Every stated bound of the control contracts, at its edge and beyond."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_map.entries import RegionState
from trunkline_mesh.errors import FieldInvalid
from trunkline_routing.control import messages

LONG = "a" * 64


def region(**changes: Any) -> entries_pb.Region:
    fields: dict[str, Any] = {"region_id": "eu-west", "jurisdiction": "eu", "state": entries_pb.REGION_STATE_SERVING}
    return entries_pb.Region(**(fields | changes))


def tenant(**changes: Any) -> entries_pb.Tenant:
    fields: dict[str, Any] = {"tenant_id": "acme", "tier": "pro", "jurisdictions": ["eu"]}
    return entries_pb.Tenant(**(fields | changes))


def space(**changes: Any) -> entries_pb.Space:
    fields: dict[str, Any] = {"space_id": "minilm", "model_id": "minilm", "model_revision": "1", "dimension": 384}
    return entries_pb.Space(**(fields | changes))


def collection(**changes: Any) -> entries_pb.Collection:
    fields: dict[str, Any] = {"collection_id": "docs", "space_id": "minilm", "placement": ["eu-west"]}
    return entries_pb.Collection(**(fields | changes))


def parse_collection(message: entries_pb.Collection) -> object:
    return messages.parse_collection(message, "acme")


def endpoints(count: int) -> entries_pb.RegionEndpoints:
    return entries_pb.RegionEndpoints(routing=[f"host:{port}" for port in range(1, count + 1)])


def shard(number: int) -> entries_pb.SharedShardLayout:
    return entries_pb.SharedShardLayout(shard=number)


def stores(*endpoints: str) -> list[entries_pb.Store]:
    return [entries_pb.Store(store_id=f"s{number}", endpoint=each) for number, each in enumerate(endpoints)]


Parse = Callable[[Any], object]


@pytest.mark.parametrize(
    ("parse", "message"),
    [
        (messages.parse_region, region(region_id="a" * 63, jurisdiction="j" * 16, endpoints=endpoints(16))),
        (messages.parse_region, region(endpoints=entries_pb.RegionEndpoints(rerank=["[::1]:65535", "a.b-c_d:1"]))),
        (messages.parse_region, region(stores=stores("h:1", "[::1]:2", "engine:big", *["h:3"] * 61))),
        (messages.parse_region, region(ramp=Duration(seconds=3600))),
        (messages.parse_tenant, tenant(jurisdictions=[f"j{number}" for number in range(16)])),
        (messages.parse_tenant, tenant(quota_tokens_per_s=messages.MAX_QUOTA_TOKENS_PER_S)),
        (messages.parse_space, space(dimension=4096, model_id="m" * 128)),
        (messages.parse_space, space(model_id="sentence-transformers/all-MiniLM-L6-v2", dimension=1)),
        (parse_collection, collection(placement=[f"r{number}" for number in range(8)])),
        (parse_collection, collection(description="é" * 512, shared_shard=shard(1023))),
        (parse_collection, collection(preference=entries_pb.REGION_PREFERENCE_PLACEMENT)),
        (parse_collection, collection(region_stores={f"r{number}": "s" for number in range(8)})),
    ],
)
def test_values_at_the_bounds_pass(parse: Parse, message: object) -> None:
    """A bound is the last value that is allowed."""
    assert parse(message)


@pytest.mark.parametrize(
    ("parse", "message", "field"),
    [
        (messages.parse_region, region(region_id=""), "region.region_id"),
        (messages.parse_region, region(region_id=LONG), "region.region_id"),
        (messages.parse_region, region(region_id="EU"), "region.region_id"),
        (messages.parse_region, region(region_id="a/b"), "region.region_id"),
        (messages.parse_region, region(region_id="a\n"), "region.region_id"),
        (messages.parse_region, region(jurisdiction="j" * 17), "region.jurisdiction"),
        (messages.parse_region, region(state=entries_pb.REGION_STATE_UNSPECIFIED), "region.state"),
        (messages.parse_region, region(state=77), "region.state"),
        (messages.parse_region, region(endpoints=endpoints(17)), "region.endpoints.routing"),
        (messages.parse_region, region(endpoints={"retrieval": ["host"]}), "region.endpoints.retrieval[0]"),
        (messages.parse_region, region(endpoints={"admission": ["h:1", "h:0"]}), "region.endpoints.admission[1]"),
        (messages.parse_region, region(endpoints={"inference": ["h:65536"]}), "region.endpoints.inference[0]"),
        (messages.parse_region, region(endpoints={"rerank": ["a b:1"]}), "region.endpoints.rerank[0]"),
        (messages.parse_region, region(endpoints={"rerank": ["h" * 300 + ":1"]}), "region.endpoints.rerank[0]"),
        (messages.parse_region, region(revision=-1), "region.revision"),
        (messages.parse_region, region(stores=stores(*["h:1"] * 65)), "region.stores"),
        (messages.parse_region, region(stores=[*stores("h:1"), *stores("h:2")]), "region.stores"),
        (messages.parse_region, region(stores=stores("h:1", "engine:")), "region.stores[1].endpoint"),
        (messages.parse_region, region(stores=stores("engine:A")), "region.stores[0].endpoint"),
        (messages.parse_region, region(stores=[{"store_id": "", "endpoint": "h:1"}]), "region.stores[0].store_id"),
        (
            messages.parse_region,
            region(stores=[{"store_id": "s", "endpoint": "h:1", "tenant_id": "A"}]),
            "region.stores[0].tenant_id",
        ),
        (messages.parse_region, region(ramp=Duration(seconds=3600, nanos=1_000_000)), "region.ramp"),
        (messages.parse_region, region(ramp=Duration(seconds=-1)), "region.ramp"),
        (messages.parse_region, region(ramp=Duration(nanos=-1)), "region.ramp"),
        (messages.parse_tenant, tenant(tenant_id="a_b"), "tenant.tenant_id"),
        (messages.parse_tenant, tenant(tier=""), "tenant.tier"),
        (messages.parse_tenant, tenant(jurisdictions=[]), "tenant.jurisdictions"),
        (messages.parse_tenant, tenant(jurisdictions=["eu"] * 17), "tenant.jurisdictions"),
        (messages.parse_tenant, tenant(jurisdictions=["eu", "US"]), "tenant.jurisdictions[1]"),
        (messages.parse_tenant, tenant(state=9), "tenant.state"),
        (messages.parse_tenant, tenant(quota_tokens_per_s=-1), "tenant.quota_tokens_per_s"),
        (messages.parse_space, space(model_id=""), "space.model_id"),
        (messages.parse_space, space(model_revision="m" * 129), "space.model_revision"),
        (messages.parse_space, space(model_id="../x"), "space.model_id"),
        (messages.parse_space, space(dimension=0), "space.dimension"),
        (messages.parse_space, space(dimension=4097), "space.dimension"),
        (parse_collection, collection(collection_id=""), "collection.collection_id"),
        (parse_collection, collection(space_id="_"), "collection.space_id"),
        (parse_collection, collection(placement=[]), "collection.placement"),
        (parse_collection, collection(placement=[f"r{number}" for number in range(9)]), "collection.placement"),
        (parse_collection, collection(placement=["a", "a"]), "collection.placement"),
        (parse_collection, collection(jurisdictions=["eu"] * 17), "collection.jurisdictions"),
        (parse_collection, collection(shared_shard=shard(1024)), "collection.shared_shard.shard"),
        (parse_collection, collection(shared_shard=shard(-1)), "collection.shared_shard.shard"),
        (parse_collection, collection(description="é" * 513), "collection.description"),
        (parse_collection, collection(preference=9), "collection.preference"),
        (parse_collection, collection(region_stores={"A": "s"}), "collection.region_stores.key"),
        (parse_collection, collection(region_stores={"a": ""}), "collection.region_stores.value"),
        (
            parse_collection,
            collection(region_stores={f"r{number}": "s" for number in range(9)}),
            "collection.region_stores",
        ),
    ],
)
def test_values_beyond_the_bounds_are_named(parse: Parse, message: object, field: str) -> None:
    """The refusal names the field in the contract's words."""
    with pytest.raises(FieldInvalid) as refused:
        parse(message)

    assert [violation.field for violation in refused.value.violations] == [field]


def test_all_violations_come_in_one_answer() -> None:
    """A caller need not repair one field after the other."""
    with pytest.raises(FieldInvalid) as refused:
        messages.parse_space(entries_pb.Space())

    assert len(refused.value.violations) == 4


def test_states_are_kept_both_ways() -> None:
    """Each state of the contract is one of the map."""
    for message_state, state in (
        (entries_pb.REGION_STATE_SERVING, RegionState.SERVING),
        (entries_pb.REGION_STATE_DRAINING, RegionState.DRAINING),
        (entries_pb.REGION_STATE_DOWN, RegionState.DOWN),
    ):
        entry = messages.parse_region(region(state=message_state))
        assert entry.state is state
        assert messages.render_region(entry).state == message_state


def test_a_tenant_without_a_state_is_active() -> None:
    """As the contract says of writes."""
    assert not messages.parse_tenant(tenant()).suspended


def test_layouts_are_kept_both_ways() -> None:
    """Dedicated, a shard, and shard 0 where nothing is said."""
    dedicated = messages.parse_collection(collection(dedicated=entries_pb.DedicatedLayout()), "acme")
    shared = messages.parse_collection(collection(shared_shard=shard(7)), "acme")
    unsaid = messages.parse_collection(collection(), "acme")

    cluster = messages.parse_collection(collection(dedicated_cluster=entries_pb.DedicatedClusterLayout()), "acme")

    assert (cluster.cluster, cluster.dedicated) == (True, True)
    assert messages.render_collection(cluster).WhichOneof("layout") == "dedicated_cluster"
    assert messages.render_collection(dedicated).WhichOneof("layout") == "dedicated"
    assert messages.render_collection(shared).shared_shard.shard == 7
    assert messages.render_collection(unsaid).shared_shard.shard == 0
    assert messages.render_collection(unsaid).WhichOneof("layout") == "shared_shard"


def test_stores_and_the_ramp_are_kept_both_ways() -> None:
    """When it began to serve is the server's alone."""
    message = region(
        endpoints=endpoints(1), stores=stores("h:1", "engine:big"), ramp=Duration(seconds=2, nanos=500_000_000)
    )
    message.stores[1].tenant_id = "acme"
    message.serve_time.FromSeconds(7)

    entry = messages.parse_region(message)

    assert (entry.ramp_s, entry.serving_since_s) == (2.5, 0.0)
    message.ClearField("serve_time")
    assert messages.render_region(entry) == message
    assert messages.render_region(replace(entry, serving_since_s=7.25)).serve_time.ToMilliseconds() == 7250


def test_preferences_and_stores_of_a_collection_are_kept_both_ways() -> None:
    """An unsaid preference is the nearest region first."""
    unsaid = messages.parse_collection(collection(region_stores={"b": "y", "a": "x"}), "acme")
    placement = messages.parse_collection(collection(preference=entries_pb.REGION_PREFERENCE_PLACEMENT), "acme")

    assert unsaid.region_stores == (("a", "x"), ("b", "y"))
    assert messages.render_collection(unsaid).preference == entries_pb.REGION_PREFERENCE_NEAREST
    assert dict(messages.render_collection(unsaid).region_stores) == {"a": "x", "b": "y"}
    assert messages.render_collection(placement).preference == entries_pb.REGION_PREFERENCE_PLACEMENT
