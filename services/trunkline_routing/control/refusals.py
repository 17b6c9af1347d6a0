"""What the control role refused, for the account of refusals: every call of somebody whose credential was verified.

A refusal changes nothing, so it is not in the history. Calls without a good credential are told by the logs and the
metric `refusals` alone: anybody can make them, and the disk is finite.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from trunkline.common.v1 import error_reason_pb2 as reasons_pb
from trunkline_mesh.errors import DomainError, FieldInvalid, first_domain_error, reason_name
from trunkline_mesh.request import current_request

MAX_TEXT_CHARS: Final = 256
"""Of whatever a caller gave; valid names and comments are no longer."""

_READS: Final = ("Get", "List", "Watch", "Export")
_NAMES: Final = ("tenant_id", "region_id", "space_id", "collection_id", "rollout_id", "import_id", "approval_id")
_NESTED: Final = ("tenant", "region", "space", "collection", "policy", "rollout")

Note = Callable[[dict[str, Any]], None]
"""Takes what there is to tell of one refusal. Must not block or raise."""


class Noting:
    """A servicer whose refusals are noted; everything else is the servicer's own."""

    def __init__(self, servicer: object, note: Note) -> None:
        """Stand in for `servicer`."""
        self._servicer = servicer
        self._note = note

    def __getattr__(self, name: str) -> Any:
        """Return the servicer's method, with its refusals noted."""
        method = getattr(self._servicer, name)
        return _streaming(method, self._note) if inspect.isasyncgenfunction(method) else _single(method, self._note)


def _single(method: Any, note: Note) -> Any:
    @functools.wraps(method)
    async def called(request: Message, context: Any) -> Any:
        current_request().noted = True
        try:
            return await method(request, context)
        except Exception as exc:
            _tell(request, first_domain_error(exc), note)
            raise

    return called


def _streaming(method: Any, note: Note) -> Any:
    @functools.wraps(method)
    async def called(request: Message, context: Any) -> AsyncGenerator[Any, None]:
        current_request().noted = True
        try:
            async with aclosing(method(request, context)) as responses:
                async for response in responses:
                    yield response
        except Exception as exc:
            _tell(request, first_domain_error(exc), note)
            raise

    return called


def turned_away(note: Note) -> Callable[[DomainError], None]:
    """Return what notes refusals of calls that never reached their method: a missing role, a full queue."""

    def heard(error: DomainError) -> None:
        scope = current_request()
        if not scope.noted and scope.principal is not None:
            note(told_of(Empty(), error))

    return heard


def _tell(request: Message, error: DomainError | None, note: Note) -> None:
    if error is None:
        return  # a defect, which is no refusal
    scope = current_request()
    reads = scope.method.rpartition("/")[2].startswith(_READS)
    if reads and (error.fault != reasons_pb.FAULT_CALLER or error.spec.status == "NOT_FOUND"):
        return  # a look for what is not there, and a server that is busy, are nobody's act
    note(told_of(request, error))


def told_of(request: Message, error: DomainError) -> dict[str, Any]:
    """Return what the account tells of a refusal of the current request: names and reasons, never contents."""
    scope = current_request()
    principal = scope.principal
    options = getattr(request, "options", None)
    violations = error.violations if isinstance(error, FieldInvalid) else ()
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "entry": _cut("/".join(_names(request))),
        "actor": _cut(principal.subject) if principal is not None else "",
        "roles": sorted(principal.roles) if principal is not None else [],
        "tenant": (principal.tenant_id or "") if principal is not None else "",
        "request_id": scope.request_id,
        "method": scope.method,
        "reason": reason_name(error.reason),
        "variables": {name: _cut(value) for name, value in error.metadata.items()},
        "fields": [_cut(each.field) for each in violations[:16]],
        "dry_run": bool(getattr(options, "dry_run", False)),
        "comment": _cut(getattr(options, "comment", "")),
    }


def _names(request: Message) -> list[str]:
    """Return the names in a request, or in the entry that it writes."""
    for message in (request, *(getattr(request, field) for field in _NESTED if hasattr(request, field))):
        found = [str(getattr(message, name)) for name in _NAMES if getattr(message, name, "")]
        if found:
            return found
    return []


def _cut(text: str) -> str:
    return text[:MAX_TEXT_CHARS]
