# ruff: noqa: N818  # names are the contract's families, as callers read them in `except`

"""Every way a call can fail, as one hierarchy whose texts say what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final

from trunkline_client.failure import Failure, FieldProblem
from trunkline_client.reasons import is_retryable


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one router. `sent` is False where no connection could be had, so that nothing left this process.

    `outcome` is `OK`, the reason that the router gave, or the gRPC status of a transport error.
    """

    region: str
    target: str
    outcome: str
    elapsed_s: float
    sent: bool = True

    def __str__(self) -> str:
        where = f"{self.region} {self.target}".strip()
        return f"{where} {self.outcome} after {self.elapsed_s * 1000:.0f} ms"


class TrunklineError(Exception):
    """Any failed call.

    `reason` is the contract's reason (`QUOTA_EXHAUSTED`), empty for a failure below Trunkline; `status` the gRPC
    status name; `retry_delay_s` when a repeat may help, if the server said so; `metadata` the variables of the
    message; `fields` the fields that were refused; `attempts` every try, in order.
    """

    advice: ClassVar[str] = "See the reason, and the trail of a call with explain=True."

    def __init__(
        self,
        failure: Failure,
        *,
        request_id: str = "",
        attempts: Sequence[Attempt] = (),
        advice: str | None = None,
    ) -> None:
        self.reason: str = failure.reason
        self.status: str = failure.status
        self.message: str = failure.message
        self.retry_delay_s: float | None = failure.retry_delay_s
        self.metadata: Mapping[str, str] = MappingProxyType(dict(failure.metadata))
        self.fields: tuple[FieldProblem, ...] = failure.fields
        self.request_id: str = request_id
        self.attempts: tuple[Attempt, ...] = tuple(attempts)
        self.hint: str = _advice(failure, self.advice) if advice is None else advice
        super().__init__(self._text())

    @property
    def retryable(self) -> bool:
        """True if the same request may succeed later."""
        return is_retryable(self.reason, self.status)

    def _text(self) -> str:
        parts = [f"{self.reason or self.status}: {self.message.rstrip('. ')}."]
        parts += [f"{problem.field}: {problem.description.rstrip('. ')}." for problem in self.fields]
        if self.retry_delay_s is not None:
            parts.append(f"Try again in {self.retry_delay_s:.2f} s.")
        parts.append(self.hint)
        if self.attempts:
            parts.append(f"Attempts: {'; '.join(map(str, self.attempts))}.")
        if self.request_id:
            parts.append(f"Request {self.request_id}.")
        return " ".join(parts)


class InvalidRequest(TrunklineError):
    """The request is malformed or out of its bounds; no router would take it."""

    advice = "Correct the fields named here; a repeat of the same request fails again."


class Unauthenticated(TrunklineError):
    """The credential is missing, expired or not accepted."""

    advice = "Get a new token (audience `trunkline`) and pass it as token=, best as a callable that renews it."


class PermissionDenied(TrunklineError):
    """The credential is good and does not allow this."""

    advice = "Use a credential of the right tenant and role, or ask the operator whether the tenant is suspended."


class NotFound(TrunklineError):
    """A tenant, collection, region, model or policy of that name does not exist."""

    advice = "Check the name; after a recent change pass its map token with read_after()."


class Conflict(TrunklineError):
    """The entry changed, is in use, or the request contradicts an earlier one."""

    advice = "Read the current state and decide again; a blind repeat fails again."


class QuotaExhausted(TrunklineError):
    """The tenant's quota or budget is spent, or it has too much under way."""

    advice = "Send less, wait for retry_delay_s, or ask for a higher quota."


class Overloaded(TrunklineError):
    """The servers protect themselves."""

    advice = "Send less for a while; the client has already tried elsewhere within its retry budget."


class Unavailable(TrunklineError):
    """No router, or nothing behind it, could answer."""

    advice = "Check that a router of an allowed region runs and can be reached; then repeat."


class ResidencyRefused(TrunklineError):
    """Data, or the query's text, may not go where it would have to; no allowed place answered."""

    advice = (
        "Nothing was sent outside the jurisdictions. Add a router of the allowed regions to the client, or wait until "
        "one is back."
    )


class DeadlineExceeded(TrunklineError):
    """The time given was not enough."""

    advice = "Give a longer deadline_s, or ask for less (smaller top_k, rerank=False)."


class StaleMap(TrunklineError):
    """No router has caught up with the map token within the deadline, or the token is of another map."""

    advice = (
        "Repeat with a longer deadline; a token of another epoch (MAP_TOKEN_INVALID) must be dropped with "
        "read_after(b'')."
    )


class InternalError(TrunklineError):
    """A defect of the service."""

    advice = "Report the request id (and the errorId in the metadata) to the operator; do not repeat blindly."


_NO_VECTOR: Final = (
    "No region inside the jurisdictions could turn the text into a vector. Searches without min_score are answered by "
    "keywords meanwhile, and searches by a vector of your own as always; writes and min_score must wait."
)

# Where the family's advice would mislead.
_ADVICE_BY_REASON: Final[Mapping[str, str]] = {
    "NO_ALLOWED_REGION": "Nothing was sent outside the jurisdictions. The regions inside them did not serve: repeat "
    "when one is back, or search with allow_partial=True to go without what they hold.",
    "RESIDENCY_VIOLATION": "Nothing was sent outside the jurisdictions. In the map every region of a placement must "
    "lie within the collection's jurisdictions, and these within the tenant's.",
    "DECISION_UNKNOWN": "A decision id is good for 7 days, for its own tenant, at the routers of its jurisdiction.",
    "NO_COLLECTION_MATCHES": "The tenant's policy refuses what it finds nowhere. Ask otherwise, name collections, or "
    "add examples to the policy.",
    "POLICY_VERSION_UNKNOWN": "List the policy's versions; old ones are not kept for ever.",
    "ROLLOUT_UNKNOWN": "Read the policy: the rollout has ended, or another one is under way.",
    "ROLLOUT_ACTIVE": "End the rollout that the metadata names, or wait for it.",
    "TENANT_SUSPENDED": "An operator has suspended the tenant; its data stays. Ask the operator to resume it.",
    "PREEMPTED": "The work ran on borrowed capacity that its owner wanted back; it was refunded. Repeat it later, or "
    "ask for a higher tier.",
    "PERMIT_EXPIRED": "Ask for a new permit; what this one had reserved has gone back.",
    "IN_FLIGHT_LIMIT": "Have fewer requests under way at a time; the metadata's limit says how many.",
    "STAGE_DISABLED": "An operator has switched the stage off that the metadata names; ask the operator when it will "
    "be back.",
    "CHANGES_FROZEN": "An error budget is nearly spent (see the metadata). Wait, or make the change as an urgent one.",
    "BUDGET_SPENT": "The tenant's budget of the month is spent, and only what is free is done. Have it raised, or wait "
    "for the next month.",
    "FEEDBACK_LIMITED": "Send feedback of users with their own credentials, and at most 60 a minute of each; wait for "
    "retry_delay_s.",
}


def _advice(failure: Failure, of_family: str) -> str:
    # The metadata names what could not be served: a collection's data, or the vectors of a space.
    if failure.reason == "NO_ALLOWED_REGION" and "space" in failure.metadata:
        return _NO_VECTOR
    return _ADVICE_BY_REASON.get(failure.reason, of_family)


_BY_REASON: Final[Mapping[str, type[TrunklineError]]] = {
    "FIELD_INVALID": InvalidRequest,
    "MESSAGE_MALFORMED": InvalidRequest,
    "SPACE_MISMATCH": InvalidRequest,
    "COLLECTION_NOT_PLACED": InvalidRequest,
    "CREDENTIAL_MISSING": Unauthenticated,
    "CREDENTIAL_INVALID": Unauthenticated,
    "CREDENTIAL_EXPIRED": Unauthenticated,
    "METHOD_NOT_ALLOWED": PermissionDenied,
    "TENANT_MISMATCH": PermissionDenied,
    "TENANT_SUSPENDED": PermissionDenied,
    "TENANT_UNKNOWN": NotFound,
    "COLLECTION_UNKNOWN": NotFound,
    "REGION_UNKNOWN": NotFound,
    "MODEL_UNKNOWN": NotFound,
    "SPACE_UNKNOWN": NotFound,
    "POLICY_UNKNOWN": NotFound,
    "PERMIT_UNKNOWN": NotFound,
    "DECISION_UNKNOWN": NotFound,
    "NO_COLLECTION_MATCHES": NotFound,
    "POLICY_VERSION_UNKNOWN": NotFound,
    "ROLLOUT_UNKNOWN": NotFound,
    "ROLLOUT_ACTIVE": Conflict,
    "FEEDBACK_LIMITED": QuotaExhausted,
    "REVISION_CONFLICT": Conflict,
    "ENTRY_IN_USE": Conflict,
    "PAGE_EXPIRED": Conflict,
    "REQUEST_ID_REUSED": Conflict,
    "QUOTA_EXHAUSTED": QuotaExhausted,
    "IN_FLIGHT_LIMIT": QuotaExhausted,
    "BUDGET_SPENT": QuotaExhausted,
    "CHANGES_FROZEN": Conflict,
    "PERMIT_EXPIRED": Conflict,
    "PREEMPTED": Overloaded,
    "STAGE_DISABLED": Unavailable,
    "OVERLOADED": Overloaded,
    "RESIDENCY_ROUTER_OUTSIDE": ResidencyRefused,
    "RESIDENCY_VIOLATION": ResidencyRefused,
    "NO_ALLOWED_REGION": ResidencyRefused,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "DEADLINE_UNREACHABLE": DeadlineExceeded,
    "STALE_MAP": StaleMap,
    "MAP_TOKEN_INVALID": StaleMap,
    "INTERNAL": InternalError,
}

# For reasons that are all "not now" and for servers that are not ours: the status decides.
_BY_STATUS: Final[Mapping[str, type[TrunklineError]]] = {
    "INVALID_ARGUMENT": InvalidRequest,
    "OUT_OF_RANGE": InvalidRequest,
    "UNIMPLEMENTED": InvalidRequest,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": PermissionDenied,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": Conflict,
    "ABORTED": Conflict,
    "FAILED_PRECONDITION": Conflict,
    "RESOURCE_EXHAUSTED": Overloaded,
    "UNAVAILABLE": Unavailable,
    "CANCELLED": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "UNKNOWN": InternalError,
    "INTERNAL": InternalError,
    "DATA_LOSS": InternalError,
}


def error_class(reason: str, status: str) -> type[TrunklineError]:
    """Return the exception class for a reason, or for a bare status where the reason is unknown or absent."""
    return _BY_REASON.get(reason) or _BY_STATUS.get(status, TrunklineError)
