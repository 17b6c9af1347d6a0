"""One query on its way through the steps of a decision."""

from __future__ import annotations

from dataclasses import dataclass, field

from trunkline_map.entries import CollectionEntry
from trunkline_mesh.deadline import Deadline
from trunkline_policy.head import SemanticResult
from trunkline_policy.model import RoutingPolicy
from trunkline_policy.results import Caller
from trunkline_routing.edge.model import Gate, Step
from trunkline_routing.edge.prepared_policy import Lane
from trunkline_routing.edge.trail import TrailRecorder


@dataclass(slots=True)
class DecisionCourse:
    """One query on its way through the steps."""

    gate: Gate
    lane: Lane
    policy: RoutingPolicy
    """As the query's experiments have it."""
    text: str
    caller: Caller
    deadline: Deadline
    trail: TrailRecorder
    entries: dict[str, CollectionEntry] = field(default_factory=dict)
    """The policy's collections that exist and may be read through this router."""
    unread: tuple[str, ...] = ()
    """Those that may not be read here."""
    steps: list[Step] = field(default_factory=list)
    semantic: SemanticResult | None = None
    """What semantics made of it; None where they were not asked, or failed."""
    in_scope: float | None = None
    head_digest: str = ""
