"""Logs refusals, and no more of them than help: a flood is told by its count, not by a line for each."""

from __future__ import annotations

from typing import Final

from trunkline.common.v1 import error_reason_pb2 as reasons_pb
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.errors import DomainError, reason_name
from trunkline_mesh.logs import get_logger
from trunkline_mesh.request import current_request

LINES_PER_SPAN: Final = 10
SPAN_S: Final = 1.0

log = get_logger("call")


class RefusalLog:
    """Writes at most `LINES_PER_SPAN` lines of one method and reason in `SPAN_S` seconds.

    The first line of the next span tells how many were left out before it. Reasons are few, so it needs no bound.
    """

    def __init__(self, clock: Clock = MONOTONIC) -> None:
        """Begin with nothing left out."""
        self._clock = clock
        self._spans: dict[int, tuple[float, int]] = {}

    def note(self, error: DomainError) -> None:
        """Log a refusal of the current request, or count it."""
        now_s = self._clock()
        began_s, seen = self._spans.get(error.reason, (now_s, 0))
        left_out = 0
        if now_s - began_s >= SPAN_S:
            left_out = max(0, seen - LINES_PER_SPAN)
            began_s, seen = now_s, 0
        self._spans[error.reason] = (began_s, seen + 1)
        if seen >= LINES_PER_SPAN:
            return
        level = log.info if error.fault == reasons_pb.FAULT_CALLER else log.warning
        level(
            "refused",
            reason=reason_name(error.reason),
            attempt=current_request().attempt,
            error_type=type(error.__cause__).__name__ if error.__cause__ is not None else "",
            count=left_out + 1,
        )
