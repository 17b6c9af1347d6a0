"""The control role's gRPC services over its ports."""

from __future__ import annotations

from trunkline.control.v1 import (
    collection_map_service_pb2_grpc,
    policy_service_pb2_grpc,
    region_service_pb2_grpc,
    space_service_pb2_grpc,
    tenant_service_pb2_grpc,
)
from trunkline_map.blob import BlobPort
from trunkline_map.source import MapSource
from trunkline_map.store import KeyValueStore
from trunkline_mesh.app import ServiceBinding
from trunkline_routing.control.collection_map import Collections
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.policies import Policies, PolicyCheck
from trunkline_routing.control.policy import CONTROL_POLICY
from trunkline_routing.control.regions import Regions
from trunkline_routing.control.servicers.collection_map import CollectionMapServicer
from trunkline_routing.control.servicers.policy import PolicyServicer
from trunkline_routing.control.servicers.region import RegionServicer
from trunkline_routing.control.servicers.space import SpaceServicer
from trunkline_routing.control.servicers.tenant import TenantServicer
from trunkline_routing.control.spaces import Spaces
from trunkline_routing.control.tenants import Tenants


def control_bindings(
    store: KeyValueStore, last_good: MapSource, blobs: BlobPort, check_policy: PolicyCheck
) -> list[ServiceBinding]:
    """Return the five services; they write to `store` and `blobs`, and read `last_good` while the store is away."""
    maps = MapStore(store, last_good)
    return [
        ServiceBinding(
            "trunkline.control.v1.CollectionMapService",
            CollectionMapServicer(Collections(maps)),
            collection_map_service_pb2_grpc.add_CollectionMapServiceServicer_to_server,
            CONTROL_POLICY,
        ),
        ServiceBinding(
            "trunkline.control.v1.RegionService",
            RegionServicer(Regions(maps)),
            region_service_pb2_grpc.add_RegionServiceServicer_to_server,
            CONTROL_POLICY,
        ),
        ServiceBinding(
            "trunkline.control.v1.TenantService",
            TenantServicer(Tenants(maps)),
            tenant_service_pb2_grpc.add_TenantServiceServicer_to_server,
            CONTROL_POLICY,
        ),
        ServiceBinding(
            "trunkline.control.v1.SpaceService",
            SpaceServicer(Spaces(maps)),
            space_service_pb2_grpc.add_SpaceServiceServicer_to_server,
            CONTROL_POLICY,
        ),
        ServiceBinding(
            "trunkline.control.v1.PolicyService",
            PolicyServicer(Policies(maps, blobs, check_policy)),
            policy_service_pb2_grpc.add_PolicyServiceServicer_to_server,
            CONTROL_POLICY,
        ),
    ]
