"""A tenant with its policy, feedback and a control role in memory: everything a learner needs, without I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from trunkline_map.blob import BlobMissingError, digest_of
from trunkline_map.entries import HeadPointer, PolicyPointer, RolloutEntry, RolloutState, SpaceEntry
from trunkline_map.testing import StaticMap, collection, region, space, static_map, tenant
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import RevisionConflict, RolloutActive, RolloutUnknown
from trunkline_policy.basis import BasisText
from trunkline_policy.document import parse_policy, to_form
from trunkline_policy.head import HeadSet
from trunkline_policy.prototypes import prototype_heads
from trunkline_routing.feedback.records import FeedbackRecord, ShadowRecord
from trunkline_routing.learner.app import Backends, Learner, build_learner
from trunkline_routing.learner.ports import Matrix, Proposal, Routed, Version
from trunkline_routing.settings import RoutingSettings

DIMENSION = 64
LEARNER = "trunkline-learner@eu-west"
PERSON = "ada"

POLICY = """
version: 2
strategy: hybrid
max_collections: 1
fallback: none
thresholds: {semantic: 0.3, in_scope: 0.0}
learning: {mode: MODE, min_samples: 10}
collections:
  billing: {description: invoices payments refunds, keywords: [invoice], examples: [pay my invoice, refund a payment]}
  network: {description: routers cables outages, keywords: [router], examples: [router is down, cable is cut]}
golden:
  - {query: pay my invoice, collections: [billing]}
  - {query: the router is broken, collections: [network]}
"""


def text_of(mode: str = "propose") -> str:
    """Return the policy's YAML."""
    return POLICY.replace("MODE", mode)


def vector_of(text: str) -> Matrix:
    """Return a vector of the text's words: texts that share words are near to each other."""
    vector = np.zeros(DIMENSION, dtype=np.float32)
    for word in text.lower().split():
        vector[int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big") % DIMENSION] += 1.0
    length = float(np.linalg.norm(vector))
    return vector / length if length else vector


@dataclass
class WordEmbedder:
    """Implements `ports.Embedder` by words."""

    texts: list[str] = field(default_factory=list)
    tenants: set[str] = field(default_factory=set)

    async def embed(self, tenant_id: str, space: SpaceEntry, texts: Sequence[str], deadline: Deadline) -> Matrix:
        """Return a row for each text."""
        self.texts.extend(texts)
        self.tenants.add(tenant_id)
        rows = [vector_of(text) for text in texts]
        return np.stack(rows) if rows else np.zeros((0, space.dimension), dtype=np.float32)


@dataclass
class HereTrainer:
    """Implements `ports.Trainer` by prototypes, in this process."""

    count: int = 0

    async def train(self, texts: Sequence[BasisText], vectors: Matrix, space: SpaceEntry) -> HeadSet:
        """Return the head."""
        self.count += 1
        return prototype_heads(
            texts, vectors, space_id=space.space_id, model_id=space.model_id, model_revision=space.model_revision
        )


@dataclass
class MemoryBlobs:
    """`BlobPort` in memory."""

    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)

    async def put(self, jurisdiction: str, content: bytes) -> str:
        """Keep it."""
        self.blobs[jurisdiction, digest_of(content)] = content
        return digest_of(content)

    async def get(self, jurisdiction: str, digest: str) -> bytes:
        """Return it."""
        if (jurisdiction, digest) not in self.blobs:
            raise BlobMissingError(digest)
        return self.blobs[jurisdiction, digest]

    async def exists(self, jurisdiction: str, digest: str) -> bool:
        """Return True if it is there."""
        return (jurisdiction, digest) in self.blobs


@dataclass
class MemoryFeedback:
    """`FeedbackStore` in memory."""

    records: dict[tuple[str, str], list[FeedbackRecord | ShadowRecord]] = field(default_factory=dict)

    async def append(self, jurisdiction: str, record: FeedbackRecord | ShadowRecord) -> None:
        """Keep it."""
        self.records.setdefault((jurisdiction, record.tenant_id), []).append(record)

    async def read(
        self, jurisdiction: str, tenant_id: str, *, since_s: float, limit: int
    ) -> list[FeedbackRecord | ShadowRecord]:
        """Return the newest."""
        kept = [each for each in self.records.get((jurisdiction, tenant_id), []) if each.at_s >= since_s]
        return kept[-limit:]

    async def trim(self, jurisdiction: str, tenant_id: str, *, before_s: float, max_records: int) -> int:
        """Forget the oldest."""
        records = self.records.get((jurisdiction, tenant_id), [])
        kept = [each for each in records if each.at_s >= before_s][-max_records:]
        self.records[jurisdiction, tenant_id] = kept
        return len(records) - len(kept)

    async def tenants(self, jurisdiction: str) -> list[str]:
        """Return whose feedback there is."""
        return sorted(tenant_id for where, tenant_id in self.records if where == jurisdiction)


@dataclass
class MemoryControl:
    """`ports.Control` over a static map: the control role's rules for one policy, with its history."""

    source: StaticMap
    blobs: MemoryBlobs
    now_s: float = 1_000_000.0
    actor: str = LEARNER
    history: dict[str, list[tuple[Version, str]]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def pointer(self, tenant_id: str) -> PolicyPointer:
        """Return the tenant's pointer."""
        pointer = self.source.snapshot.policy(tenant_id)
        assert pointer is not None
        return pointer

    async def put_policy(self, tenant_id: str, yaml: str, actor: str = PERSON, restored: int = 0) -> None:
        """Write a new version of the policy."""
        digest, form_digest = await self._keep(yaml)
        versions = self.history.setdefault(tenant_id, [])
        versions.append((Version(len(versions) + 1, actor, self.now_s, restored), yaml))
        pointer = PolicyPointer(
            tenant_id=tenant_id,
            version=len(versions),
            digest=digest,
            form_digest=form_digest,
            jurisdictions=frozenset(("eu",)),
            size_bytes=len(yaml),
            revision=len(versions),
        )
        self.source.put(pointer)

    async def put_head(self, tenant_id: str, head: HeadPointer, deadline: Deadline) -> None:
        """Note a head."""
        self.calls.append("head")
        pointer = self.pointer(tenant_id)
        rollout = pointer.rollout
        if head.policy_digest == pointer.digest:
            self.source.put(replace(pointer, heads=(head,)))
        elif rollout is not None and head.policy_digest == rollout.digest:
            self.source.put(replace(pointer, rollout=replace(rollout, heads=(head,))))
        else:
            raise RevisionConflict

    async def begin(self, tenant_id: str, proposal: Proposal, deadline: Deadline) -> str:
        """Begin a rollout."""
        self.calls.append("begin")
        pointer = self.pointer(tenant_id)
        if pointer.rollout is not None:
            raise RolloutActive
        digest, form_digest = await self._keep(proposal.yaml)
        rollout = RolloutEntry(
            rollout_id=f"r{len(self.calls)}",
            state=proposal.state,
            share=proposal.share,
            digest=digest,
            form_digest=form_digest,
            size_bytes=len(proposal.yaml),
            base_version=pointer.version,
            actor=self.actor,
            begin_time_s=self.now_s,
            change_time_s=self.now_s,
            comment=proposal.comment,
            evaluation=tuple(sorted(proposal.evaluation.items())),
        )
        self.source.put(replace(pointer, rollout=rollout))
        return rollout.rollout_id

    async def move(
        self, tenant_id: str, rollout: RolloutEntry, state: RolloutState, share: float, comment: str, deadline: Deadline
    ) -> None:
        """Change a rollout's state."""
        self.calls.append(f"move {state.value}")
        pointer = self.pointer(tenant_id)
        if pointer.rollout is None or pointer.rollout.rollout_id != rollout.rollout_id:
            raise RolloutUnknown
        changed = replace(pointer.rollout, state=state, share=share, change_time_s=self.now_s)
        self.source.put(replace(pointer, rollout=changed))

    async def end(self, tenant_id: str, rollout_id: str, *, apply: bool, comment: str, deadline: Deadline) -> None:
        """Apply or drop a rollout."""
        self.calls.append("apply" if apply else "drop")
        pointer = self.pointer(tenant_id)
        if pointer.rollout is None or pointer.rollout.rollout_id != rollout_id:
            raise RolloutUnknown
        if apply:
            yaml = self.blobs.blobs["eu", pointer.rollout.digest].decode()
            await self.put_policy(tenant_id, yaml, self.actor)
        else:
            self.source.put(replace(pointer, rollout=None))

    async def versions(self, tenant_id: str, deadline: Deadline) -> Sequence[Version]:
        """Return the history, newest first."""
        return [version for version, _ in reversed(self.history[tenant_id])]

    async def roll_back(self, tenant_id: str, version: int, revision: int, comment: str, deadline: Deadline) -> None:
        """Make an earlier text the policy."""
        self.calls.append(f"roll back to {version}")
        if self.pointer(tenant_id).revision != revision:
            raise RevisionConflict
        await self.put_policy(tenant_id, self.history[tenant_id][version - 1][1], self.actor, version)

    async def _keep(self, yaml: str) -> tuple[str, str]:
        return await self.blobs.put("eu", yaml.encode()), await self.blobs.put("eu", to_form(parse_policy(yaml)))


@dataclass
class TableRouter:
    """`ports.Router` by a table."""

    answers: Mapping[str, Routed] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def route(self, tenant_id: str, text: str, deadline: Deadline) -> Routed:
        """Return the table's answer, by default that nothing decides."""
        self.asked.append(text)
        return self.answers.get(text, Routed(decided=False, collections=(), template="", model_class=""))


@dataclass
class World:
    """A learner with everything around it."""

    source: StaticMap
    blobs: MemoryBlobs
    store: MemoryFeedback
    embedder: WordEmbedder
    trainer: HereTrainer
    control: MemoryControl
    router: TableRouter
    learner: Learner

    async def say(self, records: Iterable[FeedbackRecord | ShadowRecord]) -> None:
        """Keep records in the EU."""
        for record in records:
            await self.store.append("eu", record)

    @property
    def backends(self) -> Backends:
        """What its learner works with."""
        return Backends(self.source, self.blobs, self.store, self.embedder, self.trainer, self.control, self.router)

    def restarted(self) -> World:
        """Return the same world with a learner that has just begun."""
        return replace(self, learner=learner_of(self.backends, self.control))


def world(*tenants: str) -> World:
    """Return a learner in the EU with the tenants, each with two collections and without a policy."""
    spaces = space(dimension=DIMENSION)
    source = static_map(
        region("eu-west", "eu", learning="127.0.0.1:1"),
        spaces,
        *(tenant(name, "eu") for name in tenants),
        *(collection(name, each, ["eu-west"], ["eu"]) for name in tenants for each in ("billing", "network")),
    )
    blobs, store, embedder, trainer, router = (
        MemoryBlobs(),
        MemoryFeedback(),
        WordEmbedder(),
        HereTrainer(),
        TableRouter(),
    )
    control = MemoryControl(source, blobs)
    backends = Backends(source, blobs, store, embedder, trainer, control, router)
    return World(source, blobs, store, embedder, trainer, control, router, learner_of(backends, control))


def learner_of(backends: Backends, control: MemoryControl, region_id: str = "eu-west") -> Learner:
    """Return a learner of a region that reads the control role's clock."""
    settings = RoutingSettings(region=region_id, role="learner")
    return build_learner(backends, ChannelPool(), settings, now=lambda: control.now_s)


def correction(
    tenant_id: str,
    text: str,
    right: str,
    *,
    caller: str,
    number: int = 0,
    at_s: float = 999_000.0,
    success: bool = False,
    version: int = 1,
    assignments: tuple[tuple[str, str, bool], ...] = (),
) -> FeedbackRecord:
    """Return what a caller says of a decision: that the query belongs to `right`."""
    return FeedbackRecord(
        tenant_id=tenant_id,
        at_s=at_s,
        caller=caller,
        decision=f"{caller}-{number}-{text}",
        policy_version=version,
        policy_digest="0" * 64,
        strategy="SEMANTIC",
        chosen=("network",),
        text=text,
        right=(right,) if right else (),
        success=success,
        assignments=assignments,
    )
