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
from trunkline_client.generation import FewShotExample, Generation, ModelClass, PromptTemplate
from trunkline_client.learning import LearningClient
from trunkline_client.requests import Query, Vector
from trunkline_client.results import FeedbackResult, Hit, RegionWrite, RouteResult, SearchResult, WriteResult
from trunkline_client.router import RouterAddress
from trunkline_client.settings import ClientSettings
from trunkline_client.trail import (
    Assignment,
    CollectionTrail,
    Decision,
    DecisionStep,
    Degradation,
    LimitNote,
    RegionAttempt,
    Stage,
    Trail,
)
from trunkline_client.usage import UsageClient

__all__ = [
    "MAX_DELETE_IDS",
    "MAX_UPSERT_BYTES",
    "MAX_UPSERT_DOCUMENTS",
    "AnyOf",
    "Assignment",
    "Attempt",
    "Between",
    "ClientSettings",
    "CollectionTrail",
    "Condition",
    "Conflict",
    "ControlClient",
    "DeadlineExceeded",
    "Decision",
    "DecisionStep",
    "Degradation",
    "Document",
    "Equals",
    "Failure",
    "FeedbackResult",
    "FewShotExample",
    "FieldProblem",
    "FieldValue",
    "Filter",
    "Generation",
    "Hit",
    "HowToChange",
    "InternalError",
    "InvalidRequest",
    "LearningClient",
    "LimitNote",
    "ModelClass",
    "NotFound",
    "Overloaded",
    "PermissionDenied",
    "PromptTemplate",
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
    "UsageClient",
    "Vector",
    "Versioned",
    "WriteResult",
    "if_known",
    "upsert_batches",
]
