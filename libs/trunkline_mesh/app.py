"""What a service gives to the runtime: its servicers, their policies, and what it depends on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from trunkline_mesh.errors import DomainError
from trunkline_mesh.limiter import CapacityLimiter
from trunkline_mesh.method_policy import PolicyTable


@dataclass(frozen=True, slots=True)
class ServiceBinding:
    """One gRPC service of an application."""

    service: str
    """Full name, for example `trunkline.retrieval.v1.RetrievalService`."""
    servicer: object
    register: Callable[[Any, Any], None]
    """The generated `add_..._to_server`."""
    policy: PolicyTable
    """Policies of its methods; one that is missing here is denied."""


def never() -> bool:
    """Return False: of what never holds."""
    return False


@dataclass(frozen=True, slots=True)
class MeshApp:
    """A composed service, ready to be served."""

    name: str
    """Short name for logs, for example `retrieval`."""
    bindings: Sequence[ServiceBinding]
    checks: Mapping[str, Callable[[], bool]] = field(default_factory=dict)
    """Dependencies without which the service cannot answer, each with a cheap test that does no I/O. Polled into gRPC
    health: the empty name and every service are SERVING while all hold, `dependency/{name}` tells each."""
    soft_checks: Mapping[str, Callable[[], bool]] = field(default_factory=dict)
    """Dependencies that it can do without; shown as `dependency/{name}` alone."""
    service_checks: Mapping[str, Callable[[], bool]] = field(default_factory=dict)
    """Full service name to a further test of that service alone: its health name is SERVING only while the process is
    and this holds; the empty name is not touched by it. As cheap as `checks`."""
    draining: Callable[[], bool] = never
    """True while callers should prefer another server: every answer says so in its trailing metadata
    (`request.DRAINING_KEY`), and all calls are served as always. Asked with each answer: cheap, and must not raise."""

    rank_of: Callable[[str], int] | None = None
    """Returns a tenant's rank, as `trunkline_map.rank_book.RankBook.rank_of`; cheap, and must not raise. For services
    that have no map there is none: see `ranking.rank_stage`."""
    standing_of: Callable[[str], Awaitable[int | None]] | None = None
    """Returns the rank of a tenant that calls a service without a map by itself, as `standing.StandingBook.rank_of`;
    raises what refuses it. Without it, and for None, such calls are of the lowest rank."""
    rank_use: Literal["queue", "gpu"] = "queue"
    """Whose weights the ranks have here: `gpu` where models run."""
    on_limiter: Callable[[CapacityLimiter], None] | None = None
    """Called once, with the server's limiter, before it serves."""
    on_refusal: Callable[[DomainError], None] | None = None
    """Hears of every refusal, also of those before a method is reached, within the request's scope and after its slot
    was given back. Must not block or raise."""

    def __post_init__(self) -> None:
        """Refuse names that health could not tell apart, and checks of services that it does not have."""
        twice = self.checks.keys() & self.soft_checks.keys()
        unknown = self.service_checks.keys() - {binding.service for binding in self.bindings}
        if twice or unknown:
            raise ValueError(f"checks named twice: {sorted(twice)}; of unknown services: {sorted(unknown)}")
