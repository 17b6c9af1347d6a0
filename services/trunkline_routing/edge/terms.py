"""What is left out of a request, whatever it asks for: by its tier's level, an operator's switch, a spent budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import RegionEntry, TenantEntry
from trunkline_mesh.errors import BudgetSpent, DomainError, Overloaded, StageDisabled
from trunkline_routing.edge.standing import NORMAL, Budget, Level, Spending, Standing
from trunkline_tiers import TierFile

LEVEL_RETRY_S: Final = 5.0
"""Told to a caller who cannot do without what a level leaves out: levels do not end within a second."""

_LEVEL: Final = trail_pb.DEGRADATION_REASON_LEVEL
_DISABLED: Final = trail_pb.DEGRADATION_REASON_STAGE_DISABLED
_SPENT: Final = trail_pb.DEGRADATION_REASON_BUDGET_SPENT


class LeftOut(Overloaded):
    """A level leaves out what the caller cannot do without. It says nothing of load that the level does not know."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a part is left out, and how that is told."""

    reason: trail_pb.DegradationReason.ValueType
    subject: str

    def refusal(self) -> DomainError:
        """Return what a caller is told who cannot do without the part."""
        if self.reason == _DISABLED:
            return StageDisabled(metadata={"stage": self.subject})
        if self.reason == _SPENT:
            return BudgetSpent(metadata={"stage": self.subject})
        return LeftOut(retry_delay_s=LEVEL_RETRY_S)


@dataclass(frozen=True, slots=True)
class Terms:
    """What is left out of one request; a part without a cause is done."""

    level: Level = NORMAL
    search: Cause | None = None
    """Set where searches are refused."""
    write: Cause | None = None
    """Set where writes are refused."""
    passages: Cause | None = None
    """Set where writes that have to be embedded are refused."""
    rerank: Cause | None = None
    embedding: Cause | None = None
    """Set where queries are not embedded; remembered vectors are used."""
    semantics: Cause | None = None
    """Set where neither semantics nor anybody outside is asked for a decision."""
    trusts_semantics: bool = True
    """False where decisions that semantics once made are not used either."""
    candidates_part: float = 1.0
    """Part of `top_k` that each of several collections is asked for."""
    cache_stretch: float = 1.0
    """How many times their usual life remembered decisions are used."""
    notes: tuple[quota_pb.LimitNote, ...] = ()

    def require_search(self) -> None:
        """Raise StageDisabled or BudgetSpent where searches are refused."""
        if self.search is not None:
            raise self.search.refusal()

    def require_write(self, *, embeds: bool) -> None:
        """Raise StageDisabled or BudgetSpent where such writes are refused."""
        cause = self.write or (self.passages if embeds else None)
        if cause is not None:
            raise cause.refusal()


EVERYTHING: Final = Terms()
"""Nothing is left out."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """How much a region at REDUCED and EMERGENCY leaves out beside whole stages."""

    candidates_part: float = 1.0
    cache_stretch: float = 1.0


class TermsBook:
    """Gives each request its terms. In quiet times that is one shared value."""

    def __init__(
        self,
        standing: Standing,
        tiers: TierFile,
        *,
        reduction: Reduction,
        is_free: Callable[[str], bool],
        asked: Callable[[str], None],
    ) -> None:
        """`is_free` tells by the price list whether a stage (`search`, `embedding`, `rerank`, `write`) costs nothing.

        `asked` is told whenever a tenant asks whose budget is nearly or wholly spent: also one whose requests are all
        refused is reported then, and learns that its budget was raised.
        """
        self._asked = asked
        self._standing = standing
        self._tiers = tiers
        self._reduction = reduction
        self._is_free = is_free
        self._made = lru_cache(maxsize=1024)(self._make)

    def of(self, tenant: TenantEntry, region: RegionEntry) -> Terms:
        """Return the terms of a tenant's request in a router of `region`."""
        level = self._standing.level_of(self._tiers.named(tenant.tier)[0])
        budget = self._standing.budget_of(tenant.tenant_id)
        if level == NORMAL and budget is None and not tenant.disabled_stages and not region.disabled_stages:
            return EVERYTHING
        spent = budget is not None and budget.state is Spending.SPENT
        terms = self._made(level, tenant.disabled_stages | region.disabled_stages, spent)
        if budget is None:
            return terms
        self._asked(tenant.tenant_id)
        return replace(terms, notes=(_note(budget),))

    def _make(self, level: Level, off: frozenset[int], spent: bool) -> Terms:
        """Combine the three; an operator's switch is told before a budget, a budget before a level."""
        reduced = level >= quota_pb.SERVICE_LEVEL_REDUCED
        emergency = level >= quota_pb.SERVICE_LEVEL_EMERGENCY

        def cause(
            stage: trail_pb.StageName.ValueType, name: str, *, priced: str = "", by_level: bool = False
        ) -> Cause | None:
            if stage in off:
                return Cause(_DISABLED, name)
            if spent and priced and not self._is_free(priced):
                return Cause(_SPENT, priced)
            return Cause(_LEVEL, name) if by_level else None

        embedding = cause(trail_pb.STAGE_NAME_EMBEDDING, "embedding", priced="embedding", by_level=emergency)
        decision = cause(trail_pb.STAGE_NAME_DECISION, "decision")
        return Terms(
            level=level,
            search=cause(trail_pb.STAGE_NAME_RETRIEVAL, "retrieval", priced="search"),
            write=cause(trail_pb.STAGE_NAME_WRITE, "write", priced="write"),
            passages=cause(trail_pb.STAGE_NAME_EMBEDDING, "embedding"),
            rerank=cause(trail_pb.STAGE_NAME_RERANK, "rerank", priced="rerank", by_level=reduced),
            embedding=embedding,
            semantics=decision or _without_vectors(embedding),
            trusts_semantics=decision is None,
            candidates_part=self._reduction.candidates_part if reduced else 1.0,
            cache_stretch=self._reduction.cache_stretch if reduced else 1.0,
        )


def everything(_tenant: TenantEntry, _region: RegionEntry) -> Terms:
    """Leave nothing out of any request."""
    return EVERYTHING


def _without_vectors(embedding: Cause | None) -> Cause | None:
    """Semantics compare vectors, so they end with embedding; a switch is told by the stage that it is of."""
    if embedding is None or embedding.reason == _DISABLED:
        return embedding
    return Cause(embedding.reason, "semantics")


def _note(budget: Budget) -> quota_pb.LimitNote:
    note = quota_pb.LimitNote(
        scope=quota_pb.LIMIT_SCOPE_TENANT,
        period=quota_pb.LIMIT_PERIOD_MONTH,
        unit=quota_pb.LIMIT_UNIT_MICROS,
        used_part=budget.used_part,
    )
    if budget.resets_at_s > 0:
        note.reset_time.seconds = int(budget.resets_at_s)
    return note
