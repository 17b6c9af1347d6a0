"""Domain errors: one exception for each `ErrorReason` of the contracts.

Use cases and adapters raise these; only the outermost stage of the server turns them into a gRPC status. Their
messages go to callers, so they never carry a dependency's text, a query or a secret: `raise BackendUnavailable()
from exc` keeps the cause for the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import ClassVar, Final, NamedTuple

from trunkline.common.v1 import error_reason_pb2 as reasons_pb


class FieldViolation(NamedTuple):
    """One field of a request that breaks its stated bounds."""

    field: str
    """Path of the field, in the contract's names, for example `documents[3].text`."""
    description: str
    """What must hold, for example `must be 1 to 100`."""


class DomainError(Exception):
    """Base of everything a service refuses or fails with on purpose."""

    reason: ClassVar[reasons_pb.ErrorReason.ValueType]
    """The contract's reason; set by every leaf."""
    text: ClassVar[str]
    """Default message."""

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_delay_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
    ) -> None:
        """Keep what the caller is told.

        `retry_delay_s` becomes RetryInfo; `metadata` (lowerCamelCase keys) becomes ErrorInfo.metadata; `violations`
        become BadRequest.
        """
        super().__init__(message or self.text)
        self.counted = False
        """True once this server's limiter has counted it as a refusal of its rank: nobody else should."""
        self.retry_delay_s = retry_delay_s
        self.metadata: Mapping[str, str] = MappingProxyType(dict(metadata or {}))
        self.violations = tuple(violations)

    @property
    def message(self) -> str:
        """What the caller reads."""
        return str(self.args[0])

    @property
    def spec(self) -> reasons_pb.ReasonSpec:
        """Status, fault and retryability of the reason, as the contracts declare them."""
        return REASON_SPECS[self.reason]

    @property
    def fault(self) -> reasons_pb.Fault.ValueType:
        """Who or what the error speaks of; breakers and failover read this."""
        return self.spec.fault

    @property
    def retryable(self) -> bool:
        """True if the same request may succeed later or in another region."""
        return self.spec.retryable


class FieldInvalid(DomainError):
    """A field is missing, malformed or out of its stated bounds."""

    reason = reasons_pb.ERROR_REASON_FIELD_INVALID
    text = "the request has invalid fields"


class MessageMalformed(DomainError):
    """The bytes are no message of the method's type."""

    reason = reasons_pb.ERROR_REASON_MESSAGE_MALFORMED
    text = "the message could not be parsed"


class SpaceMismatch(DomainError):
    """A vector is not of the collection's embedding space or dimension."""

    reason = reasons_pb.ERROR_REASON_SPACE_MISMATCH
    text = "the vector is not of the collection's embedding space"


class CredentialMissing(DomainError):
    """No credential came with the call."""

    reason = reasons_pb.ERROR_REASON_CREDENTIAL_MISSING
    text = "a bearer token is required in `authorization` metadata"


class CredentialInvalid(DomainError):
    """The credential is malformed, foreign or not signed by a known key."""

    reason = reasons_pb.ERROR_REASON_CREDENTIAL_INVALID
    text = "the credential is not valid here"


class CredentialExpired(DomainError):
    """The credential was good and has expired."""

    reason = reasons_pb.ERROR_REASON_CREDENTIAL_EXPIRED
    text = "the credential has expired"


class MethodNotAllowed(DomainError):
    """The caller's roles do not allow the method, or no policy lists it."""

    reason = reasons_pb.ERROR_REASON_METHOD_NOT_ALLOWED
    text = "the credential does not allow this method"


class TenantMismatch(DomainError):
    """The request names another tenant than the credential."""

    reason = reasons_pb.ERROR_REASON_TENANT_MISMATCH
    text = "the request names another tenant than the credential"


class TenantSuspended(DomainError):
    """The tenant exists and is suspended."""

    reason = reasons_pb.ERROR_REASON_TENANT_SUSPENDED
    text = "the tenant is suspended"


class TenantUnknown(DomainError):
    """The tenant is not in the map."""

    reason = reasons_pb.ERROR_REASON_TENANT_UNKNOWN
    text = "the tenant is not in the map"


class CollectionUnknown(DomainError):
    """The tenant has no collection of that name."""

    reason = reasons_pb.ERROR_REASON_COLLECTION_UNKNOWN
    text = "the tenant has no such collection"


class RegionUnknown(DomainError):
    """No region of that name is in the map."""

    reason = reasons_pb.ERROR_REASON_REGION_UNKNOWN
    text = "no such region is in the map"


class ModelUnknown(DomainError):
    """No model of that name and revision is served here."""

    reason = reasons_pb.ERROR_REASON_MODEL_UNKNOWN
    text = "no such model is served here"


class SpaceUnknown(DomainError):
    """No embedding space of that name is in the map."""

    reason = reasons_pb.ERROR_REASON_SPACE_UNKNOWN
    text = "no such embedding space is in the map"


class PolicyUnknown(DomainError):
    """The tenant has no policy."""

    reason = reasons_pb.ERROR_REASON_POLICY_UNKNOWN
    text = "the tenant has no policy"


class PermitUnknown(DomainError):
    """The permit does not exist, was settled otherwise, or has expired."""

    reason = reasons_pb.ERROR_REASON_PERMIT_UNKNOWN
    text = "no such permit"


class ResidencyRouterOutside(DomainError):
    """This router stands outside the jurisdictions of the tenant or collection."""

    reason = reasons_pb.ERROR_REASON_RESIDENCY_ROUTER_OUTSIDE
    text = "this router is outside the jurisdictions of the data; ask one of the allowed regions"


class ResidencyViolation(DomainError):
    """Data would lie outside the jurisdictions of its tenant or collection."""

    reason = reasons_pb.ERROR_REASON_RESIDENCY_VIOLATION
    text = "the placement is outside the jurisdictions"


class NoAllowedRegion(DomainError):
    """Every region that the jurisdictions allow is down or failed."""

    reason = reasons_pb.ERROR_REASON_NO_ALLOWED_REGION
    text = "no region that the jurisdictions allow can serve now"


class StaleMap(DomainError):
    """The map is older than the request's token and did not catch up in time."""

    reason = reasons_pb.ERROR_REASON_STALE_MAP
    text = "the map here is older than the request's map token"


class MapTokenInvalid(DomainError):
    """The map token is of another epoch or is none at all."""

    reason = reasons_pb.ERROR_REASON_MAP_TOKEN_INVALID
    text = "the map token is not of this map"


class MapNotReady(DomainError):
    """No map has been loaded yet."""

    reason = reasons_pb.ERROR_REASON_MAP_NOT_READY
    text = "the map is not loaded yet"


class MapUnwritable(DomainError):
    """The control store cannot be reached; the outcome of a change under way is unknown."""

    reason = reasons_pb.ERROR_REASON_MAP_UNWRITABLE
    text = "the control store cannot be reached; changes are refused"


class RevisionConflict(DomainError):
    """The entry changed since it was read."""

    reason = reasons_pb.ERROR_REASON_REVISION_CONFLICT
    text = "the entry changed since it was read"


class EntryInUse(DomainError):
    """The entry is still used by others."""

    reason = reasons_pb.ERROR_REASON_ENTRY_IN_USE
    text = "the entry is still in use"


class PageExpired(DomainError):
    """The page token's revision is gone; list again from the start."""

    reason = reasons_pb.ERROR_REASON_PAGE_EXPIRED
    text = "the page token has expired; list again from the start"


class QuotaExhausted(DomainError):
    """The tenant's quota is spent."""

    reason = reasons_pb.ERROR_REASON_QUOTA_EXHAUSTED
    text = "the tenant's quota is spent"


class Overloaded(DomainError):
    """The server is at capacity."""

    reason = reasons_pb.ERROR_REASON_OVERLOADED
    text = "the server is at capacity"


class DeadlineUnreachable(DomainError):
    """The expected wait would eat the caller's deadline."""

    reason = reasons_pb.ERROR_REASON_DEADLINE_UNREACHABLE
    text = "the expected wait is longer than the deadline allows"


class DeadlineExceeded(DomainError):
    """The caller's time is gone, or less than the method's floor was left."""

    reason = reasons_pb.ERROR_REASON_DEADLINE_EXCEEDED
    text = "the deadline has passed or is too short for this method"


class Draining(DomainError):
    """The server is shutting down."""

    reason = reasons_pb.ERROR_REASON_DRAINING
    text = "the server is shutting down"


class BackendUnavailable(DomainError):
    """A dependency cannot be reached or failed."""

    reason = reasons_pb.ERROR_REASON_BACKEND_UNAVAILABLE
    text = "a dependency cannot be reached"


class BackendTimeout(DomainError):
    """A dependency did not answer within its share of the deadline."""

    reason = reasons_pb.ERROR_REASON_BACKEND_TIMEOUT
    text = "a dependency did not answer in time"


class CircuitOpen(DomainError):
    """The circuit breaker to a dependency is open."""

    reason = reasons_pb.ERROR_REASON_CIRCUIT_OPEN
    text = "a dependency failed recently and is being rested"


class StorageFull(DomainError):
    """The region's store has no room; nothing was written there."""

    reason = reasons_pb.ERROR_REASON_STORAGE_FULL
    text = "the region's store is full"


class ModelNotReady(DomainError):
    """The model exists and is not ready."""

    reason = reasons_pb.ERROR_REASON_MODEL_NOT_READY
    text = "the model is not ready"


class WriteIncomplete(DomainError):
    """A write reached some of its regions and not all; it is not acknowledged."""

    reason = reasons_pb.ERROR_REASON_WRITE_INCOMPLETE
    text = "the write did not reach every region; repeat it with the same request id"


class CollectionNotPlaced(DomainError):
    """The collection's placement does not name this region."""

    reason = reasons_pb.ERROR_REASON_COLLECTION_NOT_PLACED
    text = "the collection is not placed in this region"


class StepCancelled(DomainError):
    """A step of our own was cancelled although the caller still waits."""

    reason = reasons_pb.ERROR_REASON_STEP_CANCELLED
    text = "an internal step was cancelled"


class Internal(DomainError):
    """A defect of our own; the metadata's `errorId` finds it in the log."""

    reason = reasons_pb.ERROR_REASON_INTERNAL
    text = "an internal error occurred"


class RequestIdReused(DomainError):
    """A request id was repeated with different content."""

    reason = reasons_pb.ERROR_REASON_REQUEST_ID_REUSED
    text = "the request id was used for a different request"


class ApprovalRequired(DomainError):
    """The change needs a second person; the metadata's `approvalId` names where it waits."""

    reason = reasons_pb.ERROR_REASON_APPROVAL_REQUIRED
    text = "the change needs the approval of a second operator"


class ApprovalInvalid(DomainError):
    """The approval is none, has expired, was used or rejected, or is for another change."""

    reason = reasons_pb.ERROR_REASON_APPROVAL_INVALID
    text = "the approval is not valid for this change"


class LastAllowedRegion(DomainError):
    """The change would leave collections without a region that is allowed and serving."""

    reason = reasons_pb.ERROR_REASON_LAST_ALLOWED_REGION
    text = "collections would be left without a region that serves them"


class TierLimit(DomainError):
    """The tenant's tier does not allow it."""

    reason = reasons_pb.ERROR_REASON_TIER_LIMIT
    text = "the tenant's tier does not allow this"


class StoreUnknown(DomainError):
    """A region of the placement has no such store, or keeps it for another tenant."""

    reason = reasons_pb.ERROR_REASON_STORE_UNKNOWN
    text = "there is no such store for this tenant in that region"


class ImportUnknown(DomainError):
    """No import of that id is known."""

    reason = reasons_pb.ERROR_REASON_IMPORT_UNKNOWN
    text = "there is no such import"


class ImportOutOfOrder(DomainError):
    """The batch is not the import's next one; the metadata's `nextBatch` names that."""

    reason = reasons_pb.ERROR_REASON_IMPORT_OUT_OF_ORDER
    text = "the batch is not the import's next one"


class DecisionUnknown(DomainError):
    """The decision's id is not one of ours, or too old."""

    reason = reasons_pb.ERROR_REASON_DECISION_UNKNOWN
    text = "the decision is not known here"


class FeedbackLimited(DomainError):
    """The caller or its tenant has sent enough feedback for now."""

    reason = reasons_pb.ERROR_REASON_FEEDBACK_LIMITED
    text = "too much feedback; come back later"


class NoCollectionMatches(DomainError):
    """Nothing decides where the query belongs, and the policy refuses such queries."""

    reason = reasons_pb.ERROR_REASON_NO_COLLECTION_MATCHES
    text = "the query belongs to none of the tenant's collections"


class PolicyVersionUnknown(DomainError):
    """The policy has no such version, or it is no longer kept."""

    reason = reasons_pb.ERROR_REASON_POLICY_VERSION_UNKNOWN
    text = "the policy has no such version"


class RolloutUnknown(DomainError):
    """The tenant has no such rollout."""

    reason = reasons_pb.ERROR_REASON_ROLLOUT_UNKNOWN
    text = "there is no such rollout"


class Preempted(DomainError):
    """Borrowed capacity was wanted back by whom it is promised to."""

    reason = reasons_pb.ERROR_REASON_PREEMPTED
    text = "the capacity that this ran on was wanted back"


class PermitExpired(DomainError):
    """The permit was not settled in time."""

    reason = reasons_pb.ERROR_REASON_PERMIT_EXPIRED
    text = "the permit has expired, and what it had reserved has gone back"


class InFlightLimit(DomainError):
    """As many requests as the tier allows are under way."""

    reason = reasons_pb.ERROR_REASON_IN_FLIGHT_LIMIT
    text = "as many requests as the tier allows are under way"


class StageDisabled(DomainError):
    """An operator has switched the stage off."""

    reason = reasons_pb.ERROR_REASON_STAGE_DISABLED
    text = "an operator has switched this off"


class ChangesFrozen(DomainError):
    """An error budget forbids changes that are not urgent."""

    reason = reasons_pb.ERROR_REASON_CHANGES_FROZEN
    text = "an error budget is nearly spent; only urgent changes are made"


class BudgetSpent(DomainError):
    """The tenant's budget of the month is spent."""

    reason = reasons_pb.ERROR_REASON_BUDGET_SPENT
    text = "the tenant's budget of the month is spent"


class RolloutActive(DomainError):
    """Another rollout of the policy is under way."""

    reason = reasons_pb.ERROR_REASON_ROLLOUT_ACTIVE
    text = "another rollout of the policy is under way"


def invalid_field(field: str, description: str) -> FieldInvalid:
    """Build a FieldInvalid for one field."""
    return FieldInvalid(violations=(FieldViolation(field, description),))


def _read_specs() -> Mapping[int, reasons_pb.ReasonSpec]:
    values = reasons_pb.ErrorReason.DESCRIPTOR.values
    return MappingProxyType({value.number: value.GetOptions().Extensions[reasons_pb.reason_spec] for value in values})


def _leaves(base: type[DomainError]) -> Iterator[type[DomainError]]:
    for child in base.__subclasses__():
        yield child
        yield from _leaves(child)


REASON_SPECS: Final = _read_specs()
"""Reason number to its meaning, read from the contracts' options once."""

ERROR_OF_REASON: Final[Mapping[int, type[DomainError]]] = MappingProxyType(
    {leaf.reason: leaf for leaf in _leaves(DomainError)}
)
"""Reason number to its exception, for turning another service's refusal back into one."""


@lru_cache(maxsize=256)
def reason_name(reason: int) -> str:
    """Return the reason as it travels in ErrorInfo: its name without the enum's prefix."""
    return reasons_pb.ErrorReason.Name(reasons_pb.ErrorReason.ValueType(reason)).removeprefix("ERROR_REASON_")


def first_domain_error(exc: BaseException) -> DomainError | None:
    """Find the first domain error in an exception, also inside groups that a TaskGroup raised."""
    if isinstance(exc, DomainError):
        return exc
    if isinstance(exc, BaseExceptionGroup):
        for inner in exc.exceptions:
            found = first_domain_error(inner)
            if found is not None:
                return found
    return None
