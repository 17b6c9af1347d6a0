"""What the learner needs of others. Adapters: `embedder`, `trainer`, `control_client`, `router_client`, `library`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from trunkline_map.entries import HeadPointer, RolloutEntry, RolloutState, SpaceEntry
from trunkline_mesh.deadline import Deadline
from trunkline_policy.basis import BasisText
from trunkline_policy.head import HeadSet
from trunkline_policy.model import RoutingPolicy

Matrix = npt.NDArray[np.float32]


class TrainingFailedError(Exception):
    """Training took too long, too much memory, or could not be done with these texts."""


class Embedder(Protocol):
    """Vectors of a tenant's texts, in this region."""

    async def embed(self, tenant_id: str, space: SpaceEntry, texts: Sequence[str], deadline: Deadline) -> Matrix:
        """Return a row for each text. Raises domain errors."""


class Trainer(Protocol):
    """Makes heads where it does not disturb anybody."""

    async def train(self, texts: Sequence[BasisText], vectors: Matrix, space: SpaceEntry) -> HeadSet:
        """Return the head; the same basis gives the same bytes. Raises TrainingFailedError."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a policy, as the history has it."""

    version: int
    actor: str
    change_time_s: float
    """Unix time."""
    restored_version: int
    """Version that it took its text from; 0 where it was not rolled back."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A policy to try."""

    yaml: str
    state: RolloutState
    share: float
    comment: str
    evaluation: dict[str, float]


class Control(Protocol):
    """Changes of a tenant's policy, in the learner's name. Every method raises domain errors."""

    async def put_head(self, tenant_id: str, head: HeadPointer, deadline: Deadline) -> None:
        """Note a head; raises RevisionConflict where its text is of no use any more."""

    async def begin(self, tenant_id: str, proposal: Proposal, deadline: Deadline) -> str:
        """Begin a rollout; return its id. Raises RolloutActive."""

    async def move(
        self, tenant_id: str, rollout: RolloutEntry, state: RolloutState, share: float, comment: str, deadline: Deadline
    ) -> None:
        """Change a rollout's state; raises RolloutUnknown where it has ended."""

    async def end(self, tenant_id: str, rollout_id: str, *, apply: bool, comment: str, deadline: Deadline) -> None:
        """Make the rollout's text the policy, or drop it; raises RolloutUnknown where it has ended."""

    async def versions(self, tenant_id: str, deadline: Deadline) -> Sequence[Version]:
        """Return the newest versions, newest first."""

    async def roll_back(self, tenant_id: str, version: int, revision: int, comment: str, deadline: Deadline) -> None:
        """Make an earlier version's text the policy again; raises RevisionConflict where it has changed since."""


@dataclass(frozen=True, slots=True)
class Routed:
    """A decision of the region's own router."""

    decided: bool
    """False where the fallback, or nothing, decided."""
    collections: tuple[str, ...]
    template: str
    model_class: str


class Router(Protocol):
    """The region's own router, as callers use it."""

    async def route(self, tenant_id: str, text: str, deadline: Deadline) -> Routed:
        """Return its decision. Raises domain errors."""


class Policies(Protocol):
    """Policies by the digest of what they were read from."""

    async def read(self, jurisdictions: frozenset[str], form_digest: str, digest: str) -> RoutingPolicy:
        """Return the policy, from its form where there is one, else its text. Raises BackendUnavailable."""


class HeadBlobs(Protocol):
    """Heads as blobs."""

    async def get(self, jurisdictions: frozenset[str], digest: str) -> HeadSet | None:
        """Return the head; None if it is nowhere or cannot be read."""

    async def put(self, jurisdictions: frozenset[str], head: HeadSet) -> tuple[str, int]:
        """Keep it in every jurisdiction; return its digest and its bytes. Raises BackendUnavailable."""
