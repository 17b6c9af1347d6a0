"""Structured logs: JSON lines on stderr, an allow-list of fields, and no query text, credential or vendor text."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Final, cast

import structlog

from trunkline_mesh.request import current_request

ALLOWED_FIELDS: Final = frozenset(
    {
        "event", "level", "timestamp", "logger_name", "service", "region", "request_id", "attempt", "method",
        "tenant_hash", "code", "reason", "fault", "elapsed_ms", "queue_wait_ms", "error_id", "error_type", "exception",
        "dependency", "state", "count", "address", "port", "revision", "age_s", "worker", "collection", "stage",
        "signal", "settings", "version", "size_bytes", "limit", "path", "pid", "key", "tier", "model", "replica",
        "name", "role", "seconds",
    }
)  # fmt: skip
"""Fields that may be logged. Anything else is dropped and named in `dropped_fields`, so that a mistake shows."""

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_process: dict[str, str] = {}
_hash_key: list[bytes] = [b"trunkline"]


def configure_logs(*, service: str, region: str, level: str, hash_key: str) -> None:
    """Set up logging for this process. Call once, at start."""
    _process.update(service=service, region=region)
    _hash_key[0] = hash_key.encode()[:64]
    tenant_hash.cache_clear()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_request,
            structlog.processors.ExceptionRenderer(_stack_without_messages),
            _keep_allowed,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    if not any(isinstance(handler, _LibraryHandler) for handler in root.handlers):
        root.addHandler(_LibraryHandler(logging.WARNING))


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return a logger whose lines carry `name`."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(logger_name=name))


class _LibraryHandler(logging.Handler):
    """Takes what libraries log by `logging`: where it was said and of which exception, but not its words.

    Their words may quote a query, an address with a password, a vendor's text.
    """

    def emit(self, record: logging.LogRecord) -> None:
        _library.log(
            record.levelno,
            "library message",
            name=record.name,
            path=f"{record.filename}:{record.lineno}",
            error_type=record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else "",
            exc_info=record.exc_info if record.exc_info and record.exc_info[0] else None,
        )


@lru_cache(maxsize=4096)
def tenant_hash(tenant_id: str) -> str:
    """Return a keyed hash that lets log lines of one tenant be joined without naming it."""
    return hashlib.blake2s(tenant_id.encode(), key=_hash_key[0][:32], digest_size=6).hexdigest()


def _add_request(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.update(_process)
    try:
        scope = current_request()
    except LookupError:
        return event
    event.setdefault("request_id", scope.request_id)
    event.setdefault("method", scope.method)
    if scope.principal is not None and scope.principal.tenant_id is not None:
        event.setdefault("tenant_hash", tenant_hash(scope.principal.tenant_id))
    return event


def _stack_without_messages(exc_info: tuple[type[BaseException], BaseException, Any]) -> str:
    """Render where an exception came from: types and code places, but no messages, which may quote secrets."""
    lines: list[str] = []
    exc: BaseException | None = exc_info[1]
    while exc is not None and len(lines) < 40:
        lines.append(type(exc).__qualname__)
        frame = exc.__traceback__
        while frame is not None:
            code = frame.tb_frame.f_code
            lines.append(f"  {code.co_filename.rpartition('/')[2]}:{frame.tb_lineno} {code.co_qualname}")
            frame = frame.tb_next
        if isinstance(exc, BaseExceptionGroup):
            lines.extend(f"  in group: {type(inner).__qualname__}" for inner in exc.exceptions[:8])
        exc = exc.__cause__ or exc.__context__
    return "\n".join(lines[:60])


def _keep_allowed(_logger: object, _name: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    kept = {key: value for key, value in event.items() if key in ALLOWED_FIELDS}
    if len(kept) != len(event):
        kept["dropped_fields"] = sorted(key for key in event if key not in ALLOWED_FIELDS)
    return kept


_library: Final = get_logger("library")
