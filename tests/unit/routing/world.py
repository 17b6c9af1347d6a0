"""A small world for the front door: a static map, and ports that are played in memory and can be told to fail."""

from __future__ import annotations

import asyncio
import hashlib
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_lease.charge import NOTHING, Charge
from trunkline_lease.spent import Spent, TokenSource
from trunkline_map import testing as maps
from trunkline_map.blob import BlobMissingError
from trunkline_map.entries import Entry, RegionEntry, SpaceEntry
from trunkline_map.testing import StaticMap, static_map
from trunkline_mesh.breaker_policy import INFERENCE_POLICY, REGION_POLICY
from trunkline_mesh.breaker_registry import BreakerRegistry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendUnavailable, DomainError, invalid_field
from trunkline_mesh.request import RequestScope, enter_request
from trunkline_mesh.retry_budget import RetryBudget
from trunkline_routing.edge.books import build_books
from trunkline_routing.edge.budgets import StageBudgets
from trunkline_routing.edge.choosers import Chooser
from trunkline_routing.edge.deciding import build_deciding
from trunkline_routing.edge.embedding import Embedding
from trunkline_routing.edge.failover import Failover
from trunkline_routing.edge.model import Answer, Gate, Hit, Query, Vector, Vectors
from trunkline_routing.edge.ports import Scored
from trunkline_routing.edge.receipts import Receipts
from trunkline_routing.edge.region_view import RegionView
from trunkline_routing.edge.reranking import Reranking
from trunkline_routing.edge.retrieving import Retrieving
from trunkline_routing.edge.route import Route
from trunkline_routing.edge.sample import SampleCommand
from trunkline_routing.edge.search import Search, SearchParts
from trunkline_routing.edge.servicer import RoutingServicer
from trunkline_routing.edge.spending import Spending
from trunkline_routing.edge.standing import Budget, Told
from trunkline_routing.edge.trail import TrailRecorder
from trunkline_routing.edge.wiring import build_servicer
from trunkline_routing.edge.write import Write
from trunkline_routing.feedback.records import Record
from trunkline_routing.settings import RoutingSettings
from trunkline_tiers import default_tiers
from trunkline_usage.prices import PriceBook, default_prices
from trunkline_usage.records import UsageRecord

TENANT: Final = "acme"
US, EU, NORTH, AP = "us-east", "eu-west", "eu-north", "ap-south"
DIMENSION: Final = 4

POLICY: Final = """
version: 1
threshold: 0.6
margin: 0.05
fallback: [both]
collections:
  both: {keywords: [shared topic], examples: ["axis 0"]}
  europe: {keywords: [gdpr], examples: ["axis 1"]}
  states: {keywords: [hipaa], examples: ["axis 2"]}
"""


def endpoints(name: str) -> dict[str, Any]:
    """Return addresses that nobody dials."""
    return {kind: f"{name}.{kind}.test:1" for kind in ("routing", "retrieval", "inference", "rerank", "admission")}


def entries() -> list[Entry]:
    """Three jurisdictions, four regions, one tenant of two jurisdictions with three collections and a policy."""
    return [
        maps.region(US, "us", **endpoints(US)),
        maps.region(EU, "eu", **endpoints(EU)),
        maps.region(NORTH, "eu", **endpoints(NORTH)),
        maps.region(AP, "apac", **endpoints(AP)),
        maps.space("minilm", dimension=DIMENSION),
        maps.tenant(TENANT, "us", "eu"),
        maps.collection(TENANT, "both", [US, EU], ["us", "eu"]),
        maps.collection(TENANT, "europe", [EU, NORTH], ["eu"]),
        maps.collection(TENANT, "states", [US], ["us"]),
    ]


def axis(number: int) -> tuple[float, ...]:
    """Return a unit vector."""
    return tuple(float(index == number) for index in range(DIMENSION))


def vector_of(text: str) -> tuple[float, ...]:
    """`axis N` is a unit vector; any other text points somewhere of its own, near none of them."""
    if text.startswith("axis "):
        return axis(int(text.split()[1]))
    digest = hashlib.sha256(text.encode()).digest()
    values = [1.0 + digest[index] / 255 for index in range(DIMENSION)]
    length = math.hypot(*values)
    return tuple(value / length for value in values)


@dataclass
class FakeInference:
    """Embeds in memory."""

    failing: dict[str, DomainError] = field(default_factory=dict)
    hanging: set[str] = field(default_factory=set)
    failing_from: int = sys.maxsize
    """Calls from this one on, counted from 1, fail."""
    calls: list[tuple[str, tuple[str, ...], bool]] = field(default_factory=list)
    spaces: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the first call."""

    async def embed(
        self, region: RegionEntry, space: SpaceEntry, texts: Sequence[str], *, passages: bool, deadline: Deadline
    ) -> Sequence[Vector]:
        self.calls.append((region.region_id, tuple(texts), passages))
        self.spaces.append(space.space_id)
        self.asked.set()
        if region.region_id in self.hanging:
            await asyncio.Event().wait()
        if region.region_id in self.failing:
            raise self.failing[region.region_id]
        if len(self.calls) >= self.failing_from:
            raise BackendUnavailable
        return [vector_of(text) for text in texts]

    @property
    def queries(self) -> list[str]:
        """Query texts that were embedded, in order."""
        return [text for _, texts, passages in self.calls for text in texts if not passages]


def hit(document_id: str, collection: str, region: str, score: float, text: str = "text") -> Hit:
    """Return a hit as a region answers it."""
    document = document_pb.Document(document_id=document_id, text=text)
    return Hit(document, collection, region, score, options_pb.SCORE_KIND_RRF)


@dataclass
class FakeRetrieval:
    """Answers searches with scripted documents, and keeps a ledger of writes."""

    documents: dict[str, list[str]] = field(default_factory=lambda: {"both": ["b1", "b2"], "europe": ["e1"]})
    failing: dict[str, DomainError] = field(default_factory=dict)
    """By region, collection or `region/collection`."""
    hanging: set[str] = field(default_factory=set)
    """Regions that never end a write."""
    hung: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the first of them."""
    text: str = "text"
    most_at_once: int = 64
    """Collections whose answer one message can carry."""
    searches: list[dict[str, Any]] = field(default_factory=list)
    """One for each collection that was asked for."""
    calls: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)
    """Region, collections and spaces of each call."""
    written: dict[str, list[str]] = field(default_factory=dict)
    deleted: dict[str, list[str]] = field(default_factory=dict)

    async def search(
        self,
        region: RegionEntry,
        tenant_id: str,
        collections: Sequence[str],
        query: Query,
        vectors: Vectors,
        *,
        limit: int,
        map_token: bytes,
        deadline: Deadline,
    ) -> Sequence[Sequence[Hit] | DomainError]:
        self.calls.append((region.region_id, tuple(collections), tuple(vectors)))
        self.searches.extend(
            {
                "region": region.region_id,
                "tenant": tenant_id,
                "collection": collection,
                "vectors": dict(vectors),
                "limit": limit,
                "map_token": map_token,
                "left_s": deadline.remaining_s(),
            }
            for collection in collections
        )
        if region.region_id in self.failing:
            raise self.failing[region.region_id]
        if len(collections) > self.most_at_once:
            raise invalid_field("limit", "the answer would be too large")
        return [self._found(region.region_id, collection, limit) for collection in collections]

    def _found(self, region_id: str, collection: str, limit: int) -> Sequence[Hit] | DomainError:
        try:
            self._fail(region_id, collection)
        except DomainError as error:
            return error
        names = self.documents.get(collection, [])
        found = [hit(name, collection, region_id, 1 / (1 + n), self.text) for n, name in enumerate(names)]
        return found[:limit]

    async def upsert(
        self,
        region: RegionEntry,
        tenant_id: str,
        collection: str,
        space_id: str,
        documents: Sequence[document_pb.Document],
        vectors: Sequence[Vector],
        *,
        map_token: bytes,
        deadline: Deadline,
    ) -> None:
        await self._hang(region.region_id)
        self._fail(region.region_id, collection)
        assert len(documents) == len(vectors)
        self.written.setdefault(region.region_id, []).extend(document.document_id for document in documents)

    async def delete(
        self,
        region: RegionEntry,
        tenant_id: str,
        collection: str,
        document_ids: Sequence[str],
        *,
        map_token: bytes,
        deadline: Deadline,
    ) -> None:
        await self._hang(region.region_id)
        self._fail(region.region_id, collection)
        self.deleted.setdefault(region.region_id, []).extend(document_ids)

    async def _hang(self, region_id: str) -> None:
        if region_id in self.hanging:
            self.hung.set()
            await asyncio.Event().wait()

    def _fail(self, region_id: str, collection: str) -> None:
        for key in (f"{region_id}/{collection}", region_id, collection):
            if key in self.failing:
                raise self.failing[key]

    @property
    def asked(self) -> list[tuple[str, str]]:
        """`(collection, region)` of every search."""
        return [(search["collection"], search["region"]) for search in self.searches]


@dataclass
class FakeRerank:
    """Turns the order round; scores only the first `scored` if that is set."""

    failing: dict[str, DomainError] = field(default_factory=dict)
    scored: int | None = None
    calls: list[tuple[str, str, int]] = field(default_factory=list)

    async def rerank(
        self, region: RegionEntry, query: str, passages: Sequence[str], *, top_n: int, deadline: Deadline
    ) -> Sequence[Scored]:
        self.calls.append((region.region_id, query, len(passages)))
        if region.region_id in self.failing:
            raise self.failing[region.region_id]
        count = len(passages) if self.scored is None else self.scored
        first = [Scored(index, float(index), scored=True) for index in reversed(range(count))]
        return [*first, *(Scored(index, 0.0, scored=False) for index in range(count, len(passages)))][:top_n]


@dataclass
class FakeQuota:
    """Grants everything, and keeps the books."""

    source: TokenSource = TokenSource.AUTHORITY
    failing: DomainError | None = None
    notes: tuple[quota_pb.LimitNote, ...] = ()
    spent: list[Charge] = field(default_factory=list)
    refunded: list[Charge] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    """Of every spend and refund."""

    async def spend(self, tenant_id: str, charge: Charge, deadline: Deadline, *, key: str = "") -> Spent:
        if self.failing is not None:
            raise self.failing
        self.spent.append(charge)
        self.keys.append(key)
        return Spent(1, self.source, self.notes)

    def refund(self, tenant_id: str, charge: Charge, *, key: str = "", spent: Spent | None = None) -> Charge:
        assert spent is not None
        self.refunded.append(charge)
        self.keys.append(key)
        return charge

    @property
    def total(self) -> Charge:
        """What the tenant paid in the end."""
        return sum(self.spent, NOTHING).less(sum(self.refunded, NOTHING))

    @property
    def charged(self) -> int:
        """Its tokens."""
        return self.total.tokens


@dataclass
class FakeBlobs:
    """Policies by digest; `reads` counts."""

    texts: dict[str, str | bytes] = field(default_factory=dict)
    failing: Exception | None = None
    reads: list[tuple[str, str]] = field(default_factory=list)

    async def get(self, jurisdiction: str, digest: str) -> bytes:
        self.reads.append((jurisdiction, digest))
        if self.failing is not None:
            raise self.failing
        text = self.texts.get(digest)
        if text is None:
            raise BlobMissingError(digest)
        return text if isinstance(text, bytes) else text.encode()


@dataclass
class FakeStore:
    """Keeps feedback in memory."""

    records: list[tuple[str, Record]] = field(default_factory=list)
    failing: DomainError | None = None

    async def append(self, jurisdiction: str, record: Record) -> None:
        if self.failing is not None:
            raise self.failing
        self.records.append((jurisdiction, record))

    async def read(self, jurisdiction: str, tenant_id: str, *, since_s: float, limit: int) -> list[Record]:
        found = [one for where, one in self.records if where == jurisdiction and one.tenant_id == tenant_id]
        return [one for one in found if one.at_s >= since_s][-limit:]

    async def trim(self, jurisdiction: str, tenant_id: str, *, before_s: float, max_records: int) -> int:
        return 0

    async def tenants(self, jurisdiction: str) -> list[str]:
        return sorted({one.tenant_id for where, one in self.records if where == jurisdiction})


@dataclass
class FakeJournal:
    """Keeps usage records in memory."""

    healthy: bool = True
    records: list[UsageRecord] = field(default_factory=list)

    def append(self, record: UsageRecord) -> None:
        self.records.append(record)

    async def written(self) -> None:
        """They are."""


@dataclass
class FakeAudit:
    """Keeps notes of searches in memory."""

    healthy: bool = True
    notes: list[dict[str, Any]] = field(default_factory=list)

    def note(self, **note: Any) -> None:
        self.notes.append(note)

    async def written(self) -> None:
        """They are."""


class FakeSamples:
    """Has one document."""

    async def read(
        self, region: RegionEntry, tenant_id: str, command: SampleCommand, *, max_bytes: int, deadline: Deadline
    ) -> Sequence[document_pb.Document]:
        return [document_pb.Document(document_id="d1", text=command.collection)]


class World:
    """A front door in one region, over played ports."""

    def __init__(
        self,
        region: str = EU,
        *,
        policy: str | None = POLICY,
        own_router: Chooser | None = None,
        classifier: Chooser | None = None,
        prices: PriceBook | None = None,
        **settings: Any,
    ) -> None:
        settings = {"policy_cache_size": 8, "decision_cache_size": 64} | settings
        self.map: StaticMap = static_map(*entries())
        self.settings = RoutingSettings(region=region, **settings)
        self.inference, self.retrieval, self.rerank = FakeInference(), FakeRetrieval(), FakeRerank()
        self.quota, self.blobs = FakeQuota(), FakeBlobs()
        self.breakers = BreakerRegistry()
        self.view = RegionView()
        self.journal, self.audit = FakeJournal(), FakeAudit()
        self.books = build_books(
            self.settings,
            default_tiers(),
            prices or default_prices(),
            self.view,
            journal=self.journal,
            audit=self.audit,
        )
        self.budget = RetryBudget(floor=100)
        self.embedding = Embedding(
            self.inference,
            queries=self.failover("inference", "EmbedQueries"),
            passages=self.failover("inference", "EmbedPassages"),
        )
        self.store = FakeStore()
        self.receipts = Receipts(b"k" * 32)
        self.deciding = build_deciding(
            self.blobs,
            self.embedding,
            self.breakers,
            self.settings,
            self.receipts,
            self.store,
            own_router=own_router,
            classifier=classifier,
        )
        self.policies, self.vectors, self.cache = self.deciding.policies, self.deciding.vectors, self.deciding.cache
        self.decider = self.deciding.decider
        self.budgets = StageBudgets.of(self.settings)
        if policy is not None:
            self.set_policy(policy)

    def failover(self, dependency: str, method: str) -> Failover:
        rules = INFERENCE_POLICY if dependency == "inference" else REGION_POLICY
        probed = dependency == "retrieval"
        return Failover(dependency, method, rules, self.breakers, self.budget, view=self.view, probed=probed)

    def set_policy(self, text: str | bytes, version: int = 1) -> None:
        digest = hashlib.sha256(text if isinstance(text, bytes) else text.encode()).hexdigest()
        self.blobs.texts[digest] = text
        self.map.put(maps.policy(TENANT, "us", "eu", digest=digest, version=version))

    def gate(self) -> Gate:
        snapshot = self.map.snapshot
        tenant, region = snapshot.tenant(TENANT), snapshot.region(self.settings.region)
        assert tenant is not None
        assert region is not None
        return Gate(snapshot, tenant, region)

    def spending(self) -> Spending:
        return Spending(self.quota, self.books.tariff, self.books.meter, self.books.sums.cost, budget_s=0.01)

    def told(
        self,
        level: quota_pb.ServiceLevel.ValueType = quota_pb.SERVICE_LEVEL_NORMAL,
        *,
        tier: str = "pro",
        budget: Budget | None = None,
    ) -> None:
        """Have admission tell a tier's level, and the tenant's budget."""
        budgets = {TENANT: budget} if budget is not None else {}
        self.books.standing.told((TENANT,), Told({tier: level}, budgets, valid_s=60.0))

    def search(self) -> Search:
        searching = self.failover("retrieval", "Search")
        reordering = self.failover("rerank", "Rerank")
        return Search(
            SearchParts(
                source=self.map,
                decider=self.decider,
                vectors=self.vectors,
                retrieving=Retrieving(self.vectors, self.retrieval, searching, self.budgets),
                reranking=Reranking(self.rerank, reordering, self.budgets, min_s=self.settings.rerank_min_s),
                terms_of=self.books.terms.of,
                in_flight=self.books.in_flight,
                spending=self.spending(),
                budgets=self.budgets,
                settings=self.settings,
            )
        )

    async def ask(self, *queries: Query, left_s: float = 5.0, map_token: bytes = b"") -> list[Answer]:
        """Search as tenant `acme`."""
        return await self.search().run(TENANT, queries, map_token, scope(left_s))

    async def ask_one(self, query: Query, *, left_s: float = 5.0) -> Answer:
        [answer] = await self.ask(query, left_s=left_s)
        return answer

    def route(self) -> Route:
        return Route(
            self.map,
            self.decider,
            self.failover("retrieval", "Search"),
            self.budgets,
            self.settings,
            self.books.terms.of,
            self.books.in_flight,
            self.spending(),
        )

    def write(self) -> Write:
        return Write(
            self.map,
            self.embedding,
            self.retrieval,
            self.books.terms.of,
            self.books.in_flight,
            self.spending(),
            self.breakers,
            self.settings,
            self.view.is_out,
        )

    def servicer(self) -> RoutingServicer:
        """Return the whole front door, wired as the service wires it."""
        return build_servicer(
            self.map,
            self.deciding,
            self.embedding,
            self.retrieval,
            self.rerank,
            FakeSamples(),
            self.quota,
            self.breakers,
            self.settings,
            self.view,
            self.books,
        )


def scope(left_s: float = 5.0, *, capped: bool = False) -> RequestScope:
    """Return a request's scope, and make it the current one."""
    made = RequestScope("request-1", 1, "/trunkline.routing.v1.RoutingService/Search", Deadline.after(left_s), capped)
    enter_request(made)
    return made


def recorder(left_s: float = 5.0) -> TrailRecorder:
    """Return an empty trail."""
    return TrailRecorder(scope(left_s), EU)


def query(text: str = "axis 0", **options: Any) -> Query:
    """Return a query as parsing makes it; without reranking unless asked."""
    given: dict[str, Any] = {"vectors": {}, "top_k": 5, "rerank": False} | options
    return Query(text=text, **given)


def degradations(trail: trail_pb.Trail) -> dict[str, set[str]]:
    """Return the subjects of each degradation, by its name without the prefix."""
    found: dict[str, set[str]] = {}
    for one in trail.degradations:
        name = trail_pb.DegradationReason.Name(one.reason).removeprefix("DEGRADATION_REASON_")
        found.setdefault(name, set()).add(one.subject)
    return found


def outcomes(account: trail_pb.CollectionTrail) -> list[tuple[str, str]]:
    """Return `(region, outcome)` of a collection's attempts."""
    return [
        (one.region, trail_pb.AttemptOutcome.Name(one.outcome).removeprefix("ATTEMPT_OUTCOME_"))
        for one in account.attempts
    ]


def stage_names(trail: trail_pb.Trail) -> list[str]:
    """Return the stages in the order in which they began."""
    return [trail_pb.StageName.Name(one.name).removeprefix("STAGE_NAME_") for one in trail.stages]


def same_ids(hits: Sequence[Hit]) -> list[str]:
    """Return the documents' ids in order."""
    return [one.document.document_id for one in hits]


def metadata_of(error: DomainError) -> Mapping[str, str]:
    """Return what a refusal names."""
    return error.metadata
