"""What a request used, stage by stage: in cost tokens, in money, and as the record that it is billed by."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from trunkline_map.entries import TenantEntry
from trunkline_mesh import metrics
from trunkline_routing.edge.model import Query
from trunkline_routing.edge.terms import Terms
from trunkline_routing.edge.trail import TrailRecorder
from trunkline_routing.settings import RoutingSettings
from trunkline_usage.prices import PriceBook, PriceList
from trunkline_usage.records import StageUse, UsageRecord

SEARCH: Final = "search"
EMBEDDING: Final = "embedding"
RERANK: Final = "rerank"
WRITE: Final = "write"

_RECORDS = metrics.counter("usage_records", "Usage records, by whether the journal took them.", ("outcome",))
_KEPT, _WAITING, _OFF = (_RECORDS.labels(each) for each in ("kept", "waiting", "off"))


class Journal(Protocol):
    """Keeps usage records; trunkline_usage.UsageJournal."""

    @property
    def healthy(self) -> bool:
        """False while the disk takes no records."""

    def append(self, record: UsageRecord) -> None:
        """Hand a record to the kernel, or to a thread that does; raises nothing."""

    async def written(self) -> None:
        """Wait until the records so far survive this process, within some ten milliseconds; usually they do."""


@dataclass(frozen=True, slots=True)
class Use:
    """What one stage did for one query, or one write."""

    stage: str
    places: tuple[str, ...]
    """The collections that it was for."""
    count: int
    """How many: collections searched, queries embedded, reranks, documents."""
    tokens: int


class Tariff:
    """Cost tokens of the stages."""

    def __init__(self, settings: RoutingSettings) -> None:
        """Take them from the settings."""
        self._search: Final = settings.search_tokens
        self._embedding: Final = settings.embedding_tokens
        self._rerank: Final = settings.rerank_tokens
        self._write: Final = settings.write_tokens

    def estimate(self, query: Query, terms: Terms) -> int:
        """Return the most that a query may cost: all stages that it asks for and that are not left out."""
        tokens = self._search
        if query.text and terms.embedding is None:
            tokens += self._embedding
        if query.rerank and query.text and terms.rerank is None:
            tokens += self._rerank
        return tokens

    def of_search(self, trail: TrailRecorder) -> list[Use]:
        """Return what a query used."""
        uses = []
        if trail.searched:
            uses.append(Use(SEARCH, trail.places, len(trail.places), self._search))
        if trail.embedded:
            uses.append(Use(EMBEDDING, trail.places, 1, self._embedding))
        if trail.reranked:
            uses.append(Use(RERANK, trail.places, 1, self._rerank))
        return uses

    def estimate_route(self, terms: Terms) -> int:
        """Return the most that explaining a query may cost: asking outside, and embedding unless it is left out."""
        return self._search + (self._embedding if terms.embedding is None else 0)

    def of_route(self, trail: TrailRecorder) -> list[Use]:
        """Return what explaining a query used.

        A chooser outside is asked as part of a search, so asking one without searching takes a search's tokens; its
        count, and so its price, is that of no collection.
        """
        uses = []
        if trail.asked_outside:
            uses.append(Use(SEARCH, (), 0, self._search))
        if trail.embedded:
            uses.append(Use(EMBEDDING, (), 1, self._embedding))
        return uses

    def estimate_write(self, documents: int) -> int:
        """Return the most that a write of so many documents may cost."""
        return documents * self._write

    def of_write(self, trail: TrailRecorder, collection: str, documents: int) -> list[Use]:
        """Return what a write of so many documents used: all of them once a region has it.

        Until then those that a model was asked to embed, which costs as much as writing them.
        """
        done = documents if trail.written else trail.passages
        return [Use(WRITE, (collection,), done, done * self._write)] if done else []


class Meter:
    """Puts a price on uses, and keeps the record."""

    def __init__(
        self,
        prices: PriceBook,
        *,
        journal: Journal | None = None,
        region: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Without a journal no records are kept."""
        self._prices: Final = prices
        self._journal: Final = journal
        self._region: Final = region
        self._now: Final = now

    def prices(self) -> PriceList:
        """Return the price list in force."""
        return self._prices.at(self._now())

    def is_free(self, stage: str) -> bool:
        """Return True if a stage costs nothing by the price list in force."""
        return self.prices().is_free(stage)

    def keep(
        self,
        tenant: TenantEntry,
        request_id: str,
        kind: str,
        uses: Sequence[Use],
        outcome: str,
        prices: PriceList,
        *,
        digest: Callable[[], str],
    ) -> int:
        """Write the record of one request, if it used anything; return what it cost. See `written`.

        `digest` is asked for the digest of the request's content where there is a record.

        A journal that fails stops no request: it is counted, and health and the log tell.
        """
        if not uses:
            return 0
        stages = stage_uses(uses, prices)
        if self._journal is None:
            _OFF.inc()
        else:
            self._journal.append(
                UsageRecord(
                    request_id=request_id,
                    tenant_id=tenant.tenant_id,
                    at_s=self._now(),
                    region=self._region,
                    kind=kind,
                    stages=stages,
                    labels=tenant.labels,
                    price_version=prices.version,
                    outcome=outcome,
                    time_zone=tenant.time_zone,
                    digest=digest(),
                )
            )
            (_KEPT if self._journal.healthy else _WAITING).inc()
        return sum(one.cost_micros for one in stages)

    async def written(self) -> None:
        """Wait until the records so far survive this process: to be awaited before an answer leaves."""
        if self._journal is not None:
            await self._journal.written()


def stage_uses(uses: Iterable[Use], prices: PriceList) -> tuple[StageUse, ...]:
    """Return the uses by stage and collection, what is of the same together.

    A search of several collections is one of each of them, and its tokens are split among them to the last one: sums
    over the collections are exactly what was charged. What served several collections at once, as embedding and
    reranking do, is of none.
    """
    sums: dict[tuple[str, str], list[int]] = {}
    for use in uses:
        places = use.places if use.places and (use.stage == SEARCH or len(use.places) == 1) else ("",)
        micros, parts = prices.cost_micros(use.stage, use.count), len(places)
        for index, place in enumerate(places):
            held = sums.setdefault((use.stage, place), [0, 0, 0])
            held[0] += _part(use.count, index, parts)
            held[1] += _part(use.tokens, index, parts)
            held[2] += _part(micros, index, parts)
    return tuple(StageUse(stage, place, *held) for (stage, place), held in sums.items())


def _part(total: int, index: int, parts: int) -> int:
    """Return one of several whole parts that differ by at most 1, the larger ones first, and are `total` together."""
    if parts == 1:
        return total
    each, over = divmod(total, parts)
    return each + (index < over)
