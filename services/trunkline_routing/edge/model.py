"""What the front door works with. Messages of `trunkline.common.v1` that are only passed on stay messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import CollectionEntry, RegionEntry, TenantEntry
from trunkline_map.snapshot import MapSnapshot
from trunkline_policy.experiments import Assigned
from trunkline_policy.generation import GenerationChoice
from trunkline_policy.model import Template
from trunkline_routing.edge.terms import EVERYTHING, Terms

Vector: TypeAlias = Sequence[float]
Vectors: TypeAlias = Mapping[str, Vector]
"""Embedding space to vector."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query, checked against the contract's bounds."""

    text: str
    """Empty where the caller brought a vector."""
    vectors: Vectors
    """The caller's own vector; empty for text."""
    top_k: int
    filter: document_pb.Filter | None = None
    min_score: float | None = None
    include_fields: tuple[str, ...] = ()
    consistency: options_pb.Consistency.ValueType = options_pb.CONSISTENCY_ANY
    collections: tuple[str, ...] = ()
    all_collections: bool = False
    """True for all of the tenant's; `collections` is empty then."""
    allow_partial: bool = False
    explain: bool = False
    rerank: bool = True
    rerank_depth: int = 20
    previous_decision_id: str = ""
    """Of the same session's decision before."""
    expand_template: bool = False
    """True to get the chosen template's text."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A request that may be looked at here: its tenant, this router's region, and the map that it rests on."""

    snapshot: MapSnapshot
    tenant: TenantEntry
    region: RegionEntry
    """This router's own."""
    token_given: bool = False
    """True if the caller brought a map token: nobody may answer from an older map then."""
    terms: Terms = EVERYTHING
    """What is left out of it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One collection of a decision."""

    entry: CollectionEntry
    confidence: float
    """0 to 1; its weight in the merge."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a decision."""

    stage: trail_pb.DecisionStage.ValueType
    outcome: trail_pb.DecisionStageOutcome.ValueType
    confidence: float = 0.0
    """Of its best collection."""
    elapsed_s: float = 0.0
    cost_units: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """The collections of a query, and why."""

    strategy: trail_pb.Strategy.ValueType
    confidence: float
    choices: tuple[Choice, ...]
    policy_version: int = 0
    reasons: tuple[str, ...] = ()
    cached: bool = False
    not_considered: tuple[str, ...] = ()
    """Collections of the policy that were not compared, because they may not be read through this router."""
    policy_digest: str = ""
    """The policy that decided; empty where none did."""
    steps: tuple[Step, ...] = ()
    assignments: tuple[Assigned, ...] = ()
    """Comparisons that the query takes part in."""
    in_scope: float | None = None
    """Probability that the query belongs anywhere; None where semantics were not asked."""
    head_digest: str = ""
    """The trained head that semantics used; empty for prototypes."""
    refused: bool = False
    """True where nothing decides, and the policy wants such queries refused."""
    generation: GenerationChoice | None = None
    """Template and model class; None where the policy has neither."""
    template: Template | None = None
    """The template that `generation` names."""

    @property
    def cost_units(self) -> float:
        """What the decision cost; 0 for a remembered one."""
        return 0.0 if self.cached else sum(step.cost_units for step in self.steps)


@dataclass(frozen=True, slots=True)
class Hit:
    """One document that was found."""

    document: document_pb.Document
    collection: str
    region: str
    score: float
    score_kind: options_pb.ScoreKind.ValueType


@dataclass(frozen=True, slots=True)
class Answer:
    """One query's results."""

    hits: Sequence[Hit]
    trail: trail_pb.Trail
    decision: Decision
