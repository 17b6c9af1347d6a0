"""The calls that the client makes, each bound to its typed stub."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from trunkline.control.v1 import collection_map_service_pb2 as collections_pb
from trunkline.control.v1 import collection_map_service_pb2_grpc as collections_grpc
from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline.control.v1 import policy_service_pb2_grpc as policies_grpc
from trunkline.control.v1 import region_service_pb2 as regions_pb
from trunkline.control.v1 import region_service_pb2_grpc as regions_grpc
from trunkline.control.v1 import space_service_pb2 as spaces_pb
from trunkline.control.v1 import space_service_pb2_grpc as spaces_grpc
from trunkline.control.v1 import tenant_service_pb2 as tenants_pb
from trunkline.control.v1 import tenant_service_pb2_grpc as tenants_grpc
from trunkline.routing.v1 import learning_service_pb2 as learning_pb
from trunkline.routing.v1 import learning_service_pb2_grpc as learning_grpc
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline.routing.v1 import routing_service_pb2_grpc as routing_grpc

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class Repeat(Enum):
    """When a call may be sent again."""

    FREELY = "freely"
    """It changes nothing, or the same request id makes a repeat harmless."""
    UNSENT = "unsent"
    """Only while it has not left this process, or the server said that it did not begin: a compare-and-set."""


@dataclass(frozen=True, slots=True, eq=False)
class Method(Generic[RequestT, ResponseT]):
    """One method: how to bind it to a channel, and when it may be repeated."""

    name: str
    bind: Callable[[grpc.aio.Channel], grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]]
    repeat: Repeat = Repeat.FREELY


AnyMethod = Method[Any, Any]

SEARCH: Final[Method[routing_pb.SearchRequest, routing_pb.SearchResponse]] = Method(
    "Search", lambda channel: routing_grpc.RoutingServiceStub(channel).Search
)
SEARCH_BATCH: Final[Method[routing_pb.SearchBatchRequest, routing_pb.SearchBatchResponse]] = Method(
    "SearchBatch", lambda channel: routing_grpc.RoutingServiceStub(channel).SearchBatch
)
ROUTE: Final[Method[routing_pb.RouteRequest, routing_pb.RouteResponse]] = Method(
    "Route", lambda channel: routing_grpc.RoutingServiceStub(channel).Route
)
UPSERT: Final[Method[routing_pb.UpsertRequest, routing_pb.UpsertResponse]] = Method(
    "Upsert", lambda channel: routing_grpc.RoutingServiceStub(channel).Upsert
)
DELETE: Final[Method[routing_pb.DeleteRequest, routing_pb.DeleteResponse]] = Method(
    "Delete", lambda channel: routing_grpc.RoutingServiceStub(channel).Delete
)

RECORD_FEEDBACK: Final[Method[routing_pb.RecordFeedbackRequest, routing_pb.RecordFeedbackResponse]] = Method(
    "RecordFeedback", lambda channel: routing_grpc.RoutingServiceStub(channel).RecordFeedback
)
SAMPLE_DOCUMENTS: Final[Method[routing_pb.SampleDocumentsRequest, routing_pb.SampleDocumentsResponse]] = Method(
    "SampleDocuments", lambda channel: routing_grpc.RoutingServiceStub(channel).SampleDocuments
)
EVALUATE_POLICY: Final[Method[learning_pb.EvaluatePolicyRequest, learning_pb.EvaluatePolicyResponse]] = Method(
    "EvaluatePolicy", lambda channel: learning_grpc.LearningServiceStub(channel).EvaluatePolicy
)
GET_ROUTING_REPORT: Final[Method[learning_pb.GetRoutingReportRequest, learning_pb.GetRoutingReportResponse]] = Method(
    "GetRoutingReport", lambda channel: learning_grpc.LearningServiceStub(channel).GetRoutingReport
)
LEARN: Final[Method[learning_pb.LearnRequest, learning_pb.LearnResponse]] = Method(
    "Learn", lambda channel: learning_grpc.LearningServiceStub(channel).Learn, Repeat.UNSENT
)

GET_COLLECTION: Final[Method[collections_pb.GetCollectionRequest, collections_pb.GetCollectionResponse]] = Method(
    "GetCollection", lambda channel: collections_grpc.CollectionMapServiceStub(channel).GetCollection
)
LIST_COLLECTIONS: Final[Method[collections_pb.ListCollectionsRequest, collections_pb.ListCollectionsResponse]] = Method(
    "ListCollections", lambda channel: collections_grpc.CollectionMapServiceStub(channel).ListCollections
)
PUT_COLLECTION: Final[Method[collections_pb.PutCollectionRequest, collections_pb.PutCollectionResponse]] = Method(
    "PutCollection", lambda channel: collections_grpc.CollectionMapServiceStub(channel).PutCollection, Repeat.UNSENT
)
DELETE_COLLECTION: Final[Method[collections_pb.DeleteCollectionRequest, collections_pb.DeleteCollectionResponse]] = (
    Method(
        "DeleteCollection",
        lambda channel: collections_grpc.CollectionMapServiceStub(channel).DeleteCollection,
        Repeat.UNSENT,
    )
)
GET_REGION: Final[Method[regions_pb.GetRegionRequest, regions_pb.GetRegionResponse]] = Method(
    "GetRegion", lambda channel: regions_grpc.RegionServiceStub(channel).GetRegion
)
LIST_REGIONS: Final[Method[regions_pb.ListRegionsRequest, regions_pb.ListRegionsResponse]] = Method(
    "ListRegions", lambda channel: regions_grpc.RegionServiceStub(channel).ListRegions
)
PUT_REGION: Final[Method[regions_pb.PutRegionRequest, regions_pb.PutRegionResponse]] = Method(
    "PutRegion", lambda channel: regions_grpc.RegionServiceStub(channel).PutRegion, Repeat.UNSENT
)
GET_TENANT: Final[Method[tenants_pb.GetTenantRequest, tenants_pb.GetTenantResponse]] = Method(
    "GetTenant", lambda channel: tenants_grpc.TenantServiceStub(channel).GetTenant
)
LIST_TENANTS: Final[Method[tenants_pb.ListTenantsRequest, tenants_pb.ListTenantsResponse]] = Method(
    "ListTenants", lambda channel: tenants_grpc.TenantServiceStub(channel).ListTenants
)
PUT_TENANT: Final[Method[tenants_pb.PutTenantRequest, tenants_pb.PutTenantResponse]] = Method(
    "PutTenant", lambda channel: tenants_grpc.TenantServiceStub(channel).PutTenant, Repeat.UNSENT
)
GET_SPACE: Final[Method[spaces_pb.GetSpaceRequest, spaces_pb.GetSpaceResponse]] = Method(
    "GetSpace", lambda channel: spaces_grpc.SpaceServiceStub(channel).GetSpace
)
LIST_SPACES: Final[Method[spaces_pb.ListSpacesRequest, spaces_pb.ListSpacesResponse]] = Method(
    "ListSpaces", lambda channel: spaces_grpc.SpaceServiceStub(channel).ListSpaces
)
PUT_SPACE: Final[Method[spaces_pb.PutSpaceRequest, spaces_pb.PutSpaceResponse]] = Method(
    "PutSpace", lambda channel: spaces_grpc.SpaceServiceStub(channel).PutSpace, Repeat.UNSENT
)
GET_POLICY: Final[Method[policies_pb.GetPolicyRequest, policies_pb.GetPolicyResponse]] = Method(
    "GetPolicy", lambda channel: policies_grpc.PolicyServiceStub(channel).GetPolicy
)
PUT_POLICY: Final[Method[policies_pb.PutPolicyRequest, policies_pb.PutPolicyResponse]] = Method(
    "PutPolicy", lambda channel: policies_grpc.PolicyServiceStub(channel).PutPolicy, Repeat.UNSENT
)
