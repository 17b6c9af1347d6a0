"""The stages of every call: named, ordered, and composed once for each method, so that they cost little.

Observers stand outside `errors` and read the final code; whatever may refuse stands inside it.
"""

from __future__ import annotations

from typing import Final

from trunkline_mesh.guards import auth_stage, capacity_stage, drain_stage, errors_stage, scope_stage
from trunkline_mesh.observers import access_log_stage, metrics_stage, tracing_stage
from trunkline_mesh.open_calls import open_calls_stage
from trunkline_mesh.ranking import rank_stage
from trunkline_mesh.stage import Handler, MethodStages, Stage
from trunkline_mesh.time_limits import deadline_stage

STAGES: Final[tuple[tuple[str, Stage], ...]] = (
    ("scope", scope_stage),
    ("tracing", tracing_stage),
    ("metrics", metrics_stage),
    ("access_log", access_log_stage),
    ("errors", errors_stage),
    ("auth", auth_stage),
    ("rank", rank_stage),
    ("deadline", deadline_stage),
    ("drain", drain_stage),
    ("open_calls", open_calls_stage),
    ("capacity", capacity_stage),
)
"""Outermost first. Parsing and the handler follow."""


def compose(method: MethodStages, handler: Handler) -> Handler:
    """Wrap a handler in all stages, once, at start."""
    for _, stage in reversed(STAGES):
        handler = stage(method, handler)
    return handler
