"""The control role's calls beyond reading and putting single entries, each bound to its typed stub."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic

import grpc

from trunkline.control.v1 import approval_service_pb2 as approvals_pb
from trunkline.control.v1 import approval_service_pb2_grpc as approvals_grpc
from trunkline.control.v1 import collection_map_service_pb2 as collections_pb
from trunkline.control.v1 import collection_map_service_pb2_grpc as collections_grpc
from trunkline.control.v1 import map_service_pb2 as map_pb
from trunkline.control.v1 import map_service_pb2_grpc as map_grpc
from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline.control.v1 import policy_service_pb2_grpc as policies_grpc
from trunkline.control.v1 import region_service_pb2 as regions_pb
from trunkline.control.v1 import region_service_pb2_grpc as regions_grpc
from trunkline.control.v1 import space_service_pb2 as spaces_pb
from trunkline.control.v1 import space_service_pb2_grpc as spaces_grpc
from trunkline.control.v1 import tenant_service_pb2 as tenants_pb
from trunkline.control.v1 import tenant_service_pb2_grpc as tenants_grpc
from trunkline_client.methods import Method, Repeat, RequestT, ResponseT


@dataclass(frozen=True, slots=True, eq=False)
class StreamMethod(Generic[RequestT, ResponseT]):
    """One method that answers with a stream: how to bind it to a channel."""

    name: str
    bind: Callable[[grpc.aio.Channel], grpc.aio.UnaryStreamMultiCallable[RequestT, ResponseT]]


DELETE_REGION: Final[Method[regions_pb.DeleteRegionRequest, regions_pb.DeleteRegionResponse]] = Method(
    "DeleteRegion", lambda channel: regions_grpc.RegionServiceStub(channel).DeleteRegion, Repeat.UNSENT
)
DELETE_TENANT: Final[Method[tenants_pb.DeleteTenantRequest, tenants_pb.DeleteTenantResponse]] = Method(
    "DeleteTenant", lambda channel: tenants_grpc.TenantServiceStub(channel).DeleteTenant, Repeat.UNSENT
)
DELETE_SPACE: Final[Method[spaces_pb.DeleteSpaceRequest, spaces_pb.DeleteSpaceResponse]] = Method(
    "DeleteSpace", lambda channel: spaces_grpc.SpaceServiceStub(channel).DeleteSpace, Repeat.UNSENT
)
# Unsent: an approval serves once, and an undrain that is made again begins its ramp anew.
DRAIN_REGION: Final[Method[regions_pb.DrainRegionRequest, regions_pb.DrainRegionResponse]] = Method(
    "DrainRegion", lambda channel: regions_grpc.RegionServiceStub(channel).DrainRegion, Repeat.UNSENT
)
UNDRAIN_REGION: Final[Method[regions_pb.UndrainRegionRequest, regions_pb.UndrainRegionResponse]] = Method(
    "UndrainRegion", lambda channel: regions_grpc.RegionServiceStub(channel).UndrainRegion, Repeat.UNSENT
)

LIST_COLLECTION_CHANGES: Final[
    Method[collections_pb.ListCollectionChangesRequest, collections_pb.ListCollectionChangesResponse]
] = Method(
    "ListCollectionChanges", lambda channel: collections_grpc.CollectionMapServiceStub(channel).ListCollectionChanges
)
LIST_REGION_CHANGES: Final[Method[regions_pb.ListRegionChangesRequest, regions_pb.ListRegionChangesResponse]] = Method(
    "ListRegionChanges", lambda channel: regions_grpc.RegionServiceStub(channel).ListRegionChanges
)
LIST_TENANT_CHANGES: Final[Method[tenants_pb.ListTenantChangesRequest, tenants_pb.ListTenantChangesResponse]] = Method(
    "ListTenantChanges", lambda channel: tenants_grpc.TenantServiceStub(channel).ListTenantChanges
)
LIST_SPACE_CHANGES: Final[Method[spaces_pb.ListSpaceChangesRequest, spaces_pb.ListSpaceChangesResponse]] = Method(
    "ListSpaceChanges", lambda channel: spaces_grpc.SpaceServiceStub(channel).ListSpaceChanges
)

WATCH_COLLECTIONS: Final[
    StreamMethod[collections_pb.WatchCollectionsRequest, collections_pb.WatchCollectionsResponse]
] = StreamMethod(
    "WatchCollections", lambda channel: collections_grpc.CollectionMapServiceStub(channel).WatchCollections
)
WATCH_REGIONS: Final[StreamMethod[regions_pb.WatchRegionsRequest, regions_pb.WatchRegionsResponse]] = StreamMethod(
    "WatchRegions", lambda channel: regions_grpc.RegionServiceStub(channel).WatchRegions
)
WATCH_TENANTS: Final[StreamMethod[tenants_pb.WatchTenantsRequest, tenants_pb.WatchTenantsResponse]] = StreamMethod(
    "WatchTenants", lambda channel: tenants_grpc.TenantServiceStub(channel).WatchTenants
)
WATCH_SPACES: Final[StreamMethod[spaces_pb.WatchSpacesRequest, spaces_pb.WatchSpacesResponse]] = StreamMethod(
    "WatchSpaces", lambda channel: spaces_grpc.SpaceServiceStub(channel).WatchSpaces
)

LIST_POLICY_VERSIONS: Final[Method[policies_pb.ListPolicyVersionsRequest, policies_pb.ListPolicyVersionsResponse]] = (
    Method("ListPolicyVersions", lambda channel: policies_grpc.PolicyServiceStub(channel).ListPolicyVersions)
)
ROLL_BACK_POLICY: Final[Method[policies_pb.RollBackPolicyRequest, policies_pb.RollBackPolicyResponse]] = Method(
    "RollBackPolicy", lambda channel: policies_grpc.PolicyServiceStub(channel).RollBackPolicy, Repeat.UNSENT
)
# Freely: noting a head twice changes nothing.
PUT_POLICY_HEAD: Final[Method[policies_pb.PutPolicyHeadRequest, policies_pb.PutPolicyHeadResponse]] = Method(
    "PutPolicyHead", lambda channel: policies_grpc.PolicyServiceStub(channel).PutPolicyHead
)
# Unsent: one that begins would meet itself as ROLLOUT_ACTIVE, one that ends would be unknown.
PUT_ROLLOUT: Final[Method[policies_pb.PutRolloutRequest, policies_pb.PutRolloutResponse]] = Method(
    "PutRollout", lambda channel: policies_grpc.PolicyServiceStub(channel).PutRollout, Repeat.UNSENT
)
END_ROLLOUT: Final[Method[policies_pb.EndRolloutRequest, policies_pb.EndRolloutResponse]] = Method(
    "EndRollout", lambda channel: policies_grpc.PolicyServiceStub(channel).EndRollout, Repeat.UNSENT
)

LIST_APPROVALS: Final[Method[approvals_pb.ListApprovalsRequest, approvals_pb.ListApprovalsResponse]] = Method(
    "ListApprovals", lambda channel: approvals_grpc.ApprovalServiceStub(channel).ListApprovals
)
APPROVE_CHANGE: Final[Method[approvals_pb.ApproveChangeRequest, approvals_pb.ApproveChangeResponse]] = Method(
    "ApproveChange", lambda channel: approvals_grpc.ApprovalServiceStub(channel).ApproveChange, Repeat.UNSENT
)
REJECT_CHANGE: Final[Method[approvals_pb.RejectChangeRequest, approvals_pb.RejectChangeResponse]] = Method(
    "RejectChange", lambda channel: approvals_grpc.ApprovalServiceStub(channel).RejectChange, Repeat.UNSENT
)

GET_MAP_STATUS: Final[Method[map_pb.GetMapStatusRequest, map_pb.GetMapStatusResponse]] = Method(
    "GetMapStatus", lambda channel: map_grpc.MapServiceStub(channel).GetMapStatus
)
EXPORT_MAP: Final[StreamMethod[map_pb.ExportMapRequest, map_pb.ExportMapResponse]] = StreamMethod(
    "ExportMap", lambda channel: map_grpc.MapServiceStub(channel).ExportMap
)
# Freely: the server knows the last batch by its digest, and a repeat of it changes nothing.
IMPORT_BATCH: Final[Method[map_pb.ImportBatchRequest, map_pb.ImportBatchResponse]] = Method(
    "ImportBatch", lambda channel: map_grpc.MapServiceStub(channel).ImportBatch
)
GET_IMPORT: Final[Method[map_pb.GetImportRequest, map_pb.GetImportResponse]] = Method(
    "GetImport", lambda channel: map_grpc.MapServiceStub(channel).GetImport
)
RENEW_EPOCH: Final[Method[map_pb.RenewEpochRequest, map_pb.RenewEpochResponse]] = Method(
    "RenewEpoch", lambda channel: map_grpc.MapServiceStub(channel).RenewEpoch, Repeat.UNSENT
)
