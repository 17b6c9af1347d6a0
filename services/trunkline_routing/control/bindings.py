"""The control role's gRPC services over its ports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from trunkline.control.v1 import (
    approval_service_pb2_grpc,
    collection_map_service_pb2_grpc,
    map_service_pb2_grpc,
    policy_service_pb2_grpc,
    region_service_pb2_grpc,
    space_service_pb2_grpc,
    tenant_service_pb2_grpc,
)
from trunkline_map.blob import BlobPort
from trunkline_mesh.app import ServiceBinding
from trunkline_routing.control.accounts import Accounts
from trunkline_routing.control.approvals import Approvals
from trunkline_routing.control.change_lists import ChangeLists
from trunkline_routing.control.collection_map import Collections
from trunkline_routing.control.map_epoch import Epoch
from trunkline_routing.control.map_export import Export
from trunkline_routing.control.map_import import Imports
from trunkline_routing.control.map_status import Status
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.policies import Policies
from trunkline_routing.control.policy import CONTROL_POLICY
from trunkline_routing.control.policy_blobs import PolicyBlobs
from trunkline_routing.control.policy_heads import PolicyHeads
from trunkline_routing.control.policy_texts import PolicyReader, PolicyTexts
from trunkline_routing.control.refusals import Note, Noting
from trunkline_routing.control.regions import Regions
from trunkline_routing.control.rollouts import Rollouts
from trunkline_routing.control.servicers.approval import ApprovalServicer
from trunkline_routing.control.servicers.collection_map import CollectionMapServicer
from trunkline_routing.control.servicers.map import MapServicer
from trunkline_routing.control.servicers.policy import PolicyCases, PolicyServicer
from trunkline_routing.control.servicers.region import RegionServicer
from trunkline_routing.control.servicers.space import SpaceServicer
from trunkline_routing.control.servicers.tenant import TenantServicer
from trunkline_routing.control.spaces import Spaces
from trunkline_routing.control.tenants import Tenants
from trunkline_routing.control.tiers import DEFAULT_ALLOWANCES, TierAllowance, TierLimits
from trunkline_routing.control.two_persons import NOBODY_ELSE, SecondPerson
from trunkline_routing.control.watches import Watches
from trunkline_tiers import TierFile, default_tiers


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator sets of who may change what."""

    allowances: Mapping[str, TierAllowance] = field(default_factory=lambda: DEFAULT_ALLOWANCES)
    """By tier; the default tier is among them."""
    second: SecondPerson = NOBODY_ELSE
    """Which acts need a second person."""
    tiers: TierFile = field(default_factory=default_tiers)
    """Those that a tenant may be of."""


class ControlUseCases:
    """The use cases of the control role, over one map."""

    def __init__(self, maps: MapStore, blobs: BlobPort, read_policy: PolicyReader, rules: Rules) -> None:
        """Write to `maps` and `blobs`; `read_policy` knows what a policy is."""
        kept = PolicyBlobs(blobs)
        texts = PolicyTexts(maps, kept, read_policy)
        self.maps = maps
        self.second = rules.second
        self.collections = Collections(maps, TierLimits(maps, rules.allowances))
        self.regions = Regions(maps, rules.second)
        self.tenants = Tenants(maps, kept, rules.tiers)
        self.spaces = Spaces(maps)
        self.policies = PolicyCases(Policies(maps, kept, texts), PolicyHeads(maps, kept), Rollouts(maps, kept, texts))
        self.accounts = Accounts(Approvals(maps), Watches(maps), ChangeLists(maps))


def control_bindings(
    maps: MapStore,
    blobs: BlobPort,
    read_policy: PolicyReader,
    rules: Rules | None = None,
    note: Note | None = None,
) -> list[ServiceBinding]:
    """Return the control role's services; `note` takes what they refuse."""
    cases = ControlUseCases(maps, blobs, read_policy, rules or Rules())
    collections = CollectionMapServicer(cases.collections, cases.accounts)
    regions = RegionServicer(cases.regions, cases.accounts)
    tenants = TenantServicer(cases.tenants, cases.accounts)
    spaces = SpaceServicer(cases.spaces, cases.accounts)
    policies = PolicyServicer(cases.policies)
    approvals = ApprovalServicer(cases.accounts.approvals)
    imports = Imports(maps, cases.regions, cases.spaces, cases.tenants, cases.collections)
    whole_map = MapServicer(Status(maps), Export(maps), imports, Epoch(maps, cases.second), cases.accounts.approvals)
    bindings = [
        _bind(
            "CollectionMapService",
            collections,
            collection_map_service_pb2_grpc.add_CollectionMapServiceServicer_to_server,
        ),
        _bind("RegionService", regions, region_service_pb2_grpc.add_RegionServiceServicer_to_server),
        _bind("TenantService", tenants, tenant_service_pb2_grpc.add_TenantServiceServicer_to_server),
        _bind("SpaceService", spaces, space_service_pb2_grpc.add_SpaceServiceServicer_to_server),
        _bind("PolicyService", policies, policy_service_pb2_grpc.add_PolicyServiceServicer_to_server),
        _bind("MapService", whole_map, map_service_pb2_grpc.add_MapServiceServicer_to_server),
        _bind("ApprovalService", approvals, approval_service_pb2_grpc.add_ApprovalServiceServicer_to_server),
    ]
    if note is None:
        return bindings
    return [replace(binding, servicer=Noting(binding.servicer, note)) for binding in bindings]


def _bind(service: str, servicer: object, register: Callable[..., None]) -> ServiceBinding:
    return ServiceBinding(f"trunkline.control.v1.{service}", servicer, register, CONTROL_POLICY)
