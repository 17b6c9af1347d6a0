"""Typed asyncio client of Trunkline: several routers, deadlines, budgeted repeats, helpful exceptions.

Needs grpcio, protobuf, googleapis-common-protos and grpcio-status, and nothing else.
"""

from trunkline_client.client import TrunklineClient
from trunkline_client.control import ControlClient, HowToChange, Versioned, if_known
from trunkline_client.documents import (
    MAX_DELETE_IDS,
    MAX_UPSERT_BYTES,
    MAX_UPSERT_DOCUMENTS,
    Document,
    FieldValue,
    upsert_batches,
)
from trunkline_client.errors import (
    Attempt,
    Conflict,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    NotFound,
    Overloaded,
    PermissionDenied,
    QuotaExhausted,
    ResidencyRefused,
    StaleMap,
    TrunklineError,
    Unauthenticated,
    Unavailable,
)
from trunkline_client.failure import Failure, FieldProblem
from trunkline_client.filters import AnyOf, Between, Condition, Equals, Filter
from trunkline_client.requests import Query, Vector
from trunkline_client.results import Hit, RegionWrite, RouteResult, SearchResult, WriteResult
from trunkline_client.router import RouterAddress
from trunkline_client.settings import ClientSettings
from trunkline_client.trail import CollectionTrail, Decision, Degradation, RegionAttempt, Stage, Trail

__all__ = [
    "MAX_DELETE_IDS",
    "MAX_UPSERT_BYTES",
    "MAX_UPSERT_DOCUMENTS",
    "AnyOf",
    "Attempt",
    "Between",
    "ClientSettings",
    "CollectionTrail",
    "Condition",
    "Conflict",
    "ControlClient",
    "DeadlineExceeded",
    "Decision",
    "Degradation",
    "Document",
    "Equals",
    "Failure",
    "FieldProblem",
    "FieldValue",
    "Filter",
    "Hit",
    "HowToChange",
    "InternalError",
    "InvalidRequest",
    "NotFound",
    "Overloaded",
    "PermissionDenied",
    "Query",
    "QuotaExhausted",
    "RegionAttempt",
    "RegionWrite",
    "ResidencyRefused",
    "RouteResult",
    "RouterAddress",
    "SearchResult",
    "Stage",
    "StaleMap",
    "Trail",
    "TrunklineClient",
    "TrunklineError",
    "Unauthenticated",
    "Unavailable",
    "Vector",
    "Versioned",
    "WriteResult",
    "if_known",
    "upsert_batches",
]
