"""Floods of refusals are told by their count."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context

import structlog

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import Overloaded, TenantUnknown
from trunkline_mesh.refusal_log import LINES_PER_SPAN, SPAN_S, RefusalLog
from trunkline_mesh.request import RequestScope, enter_request


class Clock:
    """A clock that is moved by hand."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def within_a_request(steps: Callable[[], None]) -> None:
    """Run steps in the scope of a request that no other test sees."""

    def scoped() -> None:
        enter_request(RequestScope("r1", 1, "/trunkline.test.v1.ProbeService/Unary", Deadline.after(1), False))
        steps()

    copy_context().run(scoped)


def test_a_flood_leaves_few_lines_and_its_count() -> None:
    """After the span one line tells how many were left out."""
    within_a_request(flood)


def flood() -> None:
    clock = Clock()
    refusals = RefusalLog(clock)
    with structlog.testing.capture_logs() as lines:
        for _ in range(1000):
            refusals.note(Overloaded())
        assert len(lines) == LINES_PER_SPAN
        clock.now_s += SPAN_S
        refusals.note(Overloaded())

    assert len(lines) == LINES_PER_SPAN + 1
    assert lines[-1]["count"] == 1000 - LINES_PER_SPAN + 1


def test_one_reason_does_not_hide_another() -> None:
    """Each reason has lines of its own."""
    within_a_request(two_reasons)


def two_reasons() -> None:
    refusals = RefusalLog(Clock())
    with structlog.testing.capture_logs() as lines:
        for _ in range(100):
            refusals.note(Overloaded())
        refusals.note(TenantUnknown())

    assert lines[-1]["reason"] == "TENANT_UNKNOWN"
