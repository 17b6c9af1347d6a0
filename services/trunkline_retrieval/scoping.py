"""The tenant's boundary: added to every filter here and nowhere else, and checked again on every hit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from trunkline_mesh.logs import get_logger
from trunkline_mesh.metrics import counter
from trunkline_retrieval.model import Condition, Filter, Scope

_FOREIGN_POINTS: Final = counter(
    "retrieval_foreign_points", "Points of another scope that a store returned and that were dropped."
)
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ScopeIs:
    """The point belongs to this scope. Adapters translate it like any other condition."""

    key: str


@dataclass(frozen=True, slots=True)
class ScopedFilter:
    """A filter that cannot reach beyond one scope. Adapters take no other kind; `scoped` makes it."""

    boundary: ScopeIs
    must: tuple[ScopeIs | Condition, ...]
    """Starts with the boundary."""
    must_not: tuple[Condition, ...]

    def __post_init__(self) -> None:
        """Refuse a filter without its boundary."""
        if not self.boundary.key or self.boundary not in self.must:
            raise ValueError("a scoped filter needs its boundary among the conditions that must hold")


PointT = TypeVar("PointT")


def scoped(scope: Scope, wanted: Filter | None = None) -> ScopedFilter:
    """Return `wanted` within the scope's boundary."""
    boundary = ScopeIs(scope.key)
    if wanted is None:
        return ScopedFilter(boundary, (boundary,), ())
    return ScopedFilter(boundary, (boundary, *wanted.must), wanted.must_not)


def own_points(scope: Scope, points: Iterable[tuple[str, str, PointT]]) -> Sequence[PointT]:
    """Keep the points whose tenant and collection are the scope's; drop, count and log any other.

    `points` are (tenant id, collection id, anything). A drop means that a filter failed: a defect worth a page.
    """
    tenant_id, collection_id = scope.tenant_id, scope.collection_id
    kept: list[PointT] = []
    foreign = 0
    for point_tenant, point_collection, point in points:
        if point_tenant == tenant_id and point_collection == collection_id:
            kept.append(point)
        else:
            foreign += 1
    if foreign:
        _FOREIGN_POINTS.inc(foreign)
        _log.error("store returned points of another scope", count=foreign)
    return kept
