"""Logs carry what is allowed, and nothing that anybody planted."""

from __future__ import annotations

import io
import json
import logging
import math
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest
import structlog

from trunkline_mesh import logs
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.request import Principal, RequestScope, enter_request

SECRET = "hunter2"
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Return what this process has logged so far."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    before, root = structlog.get_config(), logging.getLogger()
    handlers = list(root.handlers)
    logs.configure_logs(service="probe", region="eu-west", level="info", hash_key="salt")
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.handlers[:] = handlers
    structlog.configure(**before)


def test_only_allowed_fields_are_written(lines: Lines) -> None:
    """A mistake is dropped and named, so that it shows and does not leak."""
    logs.get_logger("test").info("event", query=SECRET, token=SECRET, vector=[1.0], count=3)
    [line] = lines()
    assert line["count"] == 3
    assert line["dropped_fields"] == ["query", "token", "vector"]
    assert SECRET not in json.dumps(line)


def fail_in_a_group() -> None:
    try:
        raise ConnectionError(f"redis://:{SECRET}@cache")  # noqa: TRY301 - the chain is what is tested
    except ConnectionError as exc:
        raise ExceptionGroup(SECRET, [ValueError(SECRET)]) from exc


def test_exceptions_are_told_without_their_words(lines: Lines) -> None:
    """Types and places, for causes and groups too; messages may quote secrets."""
    try:
        fail_in_a_group()
    except ExceptionGroup as exc:
        logs.get_logger("test").error("failed", exc_info=exc)
    [line] = lines()
    assert SECRET not in json.dumps(line)
    for told in ("ExceptionGroup", "in group: ValueError", "ConnectionError", "test_logs.py"):
        assert told in line["exception"]


def test_libraries_words_are_left_out(lines: Lines) -> None:
    """They log by `logging`, with whatever they were handling."""
    try:
        int(SECRET)
    except ValueError:
        logging.getLogger("vendor").exception("could not parse %s", SECRET)
    logging.getLogger("vendor").info("chatter")
    [line] = lines()
    assert (line["name"], line["error_type"], line["level"]) == ("vendor", "ValueError", "error")
    assert SECRET not in json.dumps(line)


def test_a_tenant_is_told_by_its_hash_alone(lines: Lines) -> None:
    """Lines of one tenant can be joined; whose they are takes the key."""
    principal = Principal("user@acme", "acme-gmbh", frozenset(), SECRET, math.inf)

    def within_a_request() -> None:
        enter_request(RequestScope("r-1", 1, "/x.Y/Z", Deadline.after(1), deadline_capped=False, principal=principal))
        logs.get_logger("test").info("event")

    copy_context().run(within_a_request)  # so that later tests are outside of it
    [line] = lines()
    assert line["tenant_hash"] == logs.tenant_hash("acme-gmbh")
    assert (line["request_id"], line["method"], line["region"]) == ("r-1", "/x.Y/Z", "eu-west")
    for hidden in ("acme", SECRET, "user@"):
        assert hidden not in json.dumps(line)


def test_hashes_depend_on_the_key(lines: Lines) -> None:
    """Without the key a list of tenant names gives nothing away."""
    before = logs.tenant_hash("acme")
    logs.configure_logs(service="probe", region="eu-west", level="info", hash_key="another")
    assert logs.tenant_hash("acme") != before
    assert lines() == []
