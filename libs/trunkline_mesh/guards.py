"""Stages that may refuse: errors, identity, drain, capacity."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Any, Final

import grpc

from trunkline_mesh import tallies
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import (
    CredentialMissing,
    DomainError,
    Internal,
    MethodNotAllowed,
    StepCancelled,
    first_domain_error,
    reason_name,
)
from trunkline_mesh.logs import get_logger
from trunkline_mesh.method_policy import Access, may_call
from trunkline_mesh.refusal_log import RefusalLog
from trunkline_mesh.request import (
    ATTEMPT_KEY,
    AUTHORIZATION_KEY,
    HOP_KEY,
    RANK_KEY,
    REQUEST_ID_KEY,
    TIMEOUT_KEY,
    Principal,
    RequestScope,
    current_request,
    enter_request,
)
from trunkline_mesh.stage import Context, Handler, MethodStages
from trunkline_mesh.status import to_trailers

log = get_logger("call")

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MAX_ATTEMPT: Final = 99
_RANK: Final = re.compile(r"[0-9]{1,4}")
_TIMEOUT_US: Final = re.compile(r"[0-9]{1,12}")
_REFUSALS = tallies.counter("refusals", "Refusals by method and reason.", ("method", "reason"))


def scope_stage(method: MethodStages, inner: Handler) -> Handler:
    """Read request id, attempt, credential and deadline in one pass; clamp the deadline to the method's cap."""
    name, believes = method.name, method.rank_of is None
    cap_s = method.policy.cap_s if method.policy is not None else 1.0

    async def scoped(request: Any, context: Context) -> Any:
        request_id, attempt, authorization, rank, hop = "", 1, "", None, ""
        asked_s = context.time_remaining()
        capped = asked_s is None or asked_s > cap_s
        left_s = cap_s if asked_s is None or asked_s > cap_s else asked_s
        for key, value in context.invocation_metadata() or ():
            if key == AUTHORIZATION_KEY and isinstance(value, str):
                authorization = authorization or value
            elif key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
                request_id = value
            elif key == ATTEMPT_KEY and isinstance(value, str) and value.isdecimal() and len(value) <= 2:
                attempt = min(int(value), _MAX_ATTEMPT)
            elif key == TIMEOUT_KEY and isinstance(value, str) and _TIMEOUT_US.fullmatch(value):
                left_s = min(left_s, int(value) / 1_000_000)  # deadlines only shrink, gRPC's rounding included
            elif key == RANK_KEY and believes and isinstance(value, str) and _RANK.fullmatch(value):
                rank = int(value)
            elif key == HOP_KEY and believes and isinstance(value, str):
                hop = value
        deadline = Deadline.after(left_s)
        scope = RequestScope(request_id or secrets.token_hex(8), attempt, name, deadline, capped)
        scope.authorization = authorization
        scope.rank, scope.hop = rank, hop
        enter_request(scope)
        return await inner(request, context)

    return scoped


def errors_stage(method: MethodStages, inner: Handler) -> Handler:
    """Turn every way of failing into exactly one status of the contract; let no exception's text out.

    Every answer leaves here with its trailing metadata, after the call has given its own slot back.
    """
    drain, refusals, trailers, on_refusal = method.drain, RefusalLog(), method.trailers, method.on_refusal

    async def guarded(request: Any, context: Context) -> Any:
        task = asyncio.current_task()
        assert task is not None, "handlers run in tasks"
        drain.enter(task)
        try:
            response = await inner(request, context)
        except grpc.aio.AbortError:
            raise
        except asyncio.CancelledError:
            error: DomainError | None = drain.refusal()
            if error is None:
                if task.cancelling():
                    raise  # the peer hung up, or its deadline passed
                # A cancelled step of our own: without an answer the caller would wait until its deadline.
                error = StepCancelled()
        except Exception as exc:  # noqa: BLE001 - the one place where everything is caught
            error = _domain_error(exc)
        else:
            trailers.leave_on(context)
            return response
        finally:
            drain.leave(task)
        _REFUSALS.labels(method.name, reason_name(error.reason)).inc()
        refusals.note(error)
        if on_refusal is not None:
            on_refusal(error)
        code, message, details = to_trailers(error)
        own: tuple[Any, ...] = tuple(context.trailing_metadata() or ())
        return await context.abort(code, message, (*own, *details, *trailers.now()))

    return guarded


def auth_stage(method: MethodStages, inner: Handler) -> Handler:
    """Verify the credential and ask the method's policy. A method without a policy is denied."""
    policy, verifier = method.policy, method.verifier
    allowed = may_call(policy.access) if policy is not None else _nobody
    if policy is not None and policy.access is Access.PUBLIC:
        return inner

    async def authenticated(request: Any, context: Context) -> Any:
        scope = current_request()
        header = scope.authorization
        if not header:
            raise CredentialMissing
        principal = verifier.remembered(header) or await verifier.verify(header)
        if not allowed(principal):
            raise MethodNotAllowed
        scope.principal = principal
        return await inner(request, context)

    return authenticated


def _nobody(_principal: Principal) -> bool:
    return False


def drain_stage(method: MethodStages, inner: Handler) -> Handler:
    """End a stream as soon as the server drains; composed away for calls that end by themselves."""
    if method.policy is None or not method.policy.ends_at_drain:
        return inner
    drain = method.drain

    async def ended(request: Any, context: Context) -> Any:
        async with drain.stream():
            return await inner(request, context)

    return ended


def capacity_stage(method: MethodStages, inner: Handler) -> Handler:
    """Wait for a slot in the fair queue, or refuse at once."""
    policy, limiter, lowest = method.policy, method.limiter, method.lowest_rank
    if policy is None or policy.weight == 0:
        return inner
    name, weight, preemptible = method.name, policy.weight, policy.preemptible

    async def admitted(request: Any, context: Context) -> Any:
        scope = current_request()
        tenant = (scope.principal.tenant_id if scope.principal is not None else None) or ""
        rank = lowest if scope.rank is None else scope.rank
        slot = limiter.slot(
            tenant=tenant, rank=rank, weight=weight, deadline=scope.deadline, kind=name, preemptible=preemptible
        )
        async with slot as waited_s:
            scope.queue_wait_s = waited_s
            scope.slot = slot
            return await inner(request, context)

    return admitted


def _domain_error(exc: Exception) -> DomainError:
    error = first_domain_error(exc)
    if error is not None:
        return error
    error_id = secrets.token_hex(6)
    log.error("unhandled exception", error_id=error_id, error_type=type(exc).__name__, exc_info=exc)
    return Internal(metadata={"errorId": error_id})
