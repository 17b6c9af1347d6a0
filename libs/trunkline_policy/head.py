"""A head: everything that semantics know of a policy, as one matrix. Deciding is one product with a query's vector."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Literal

import numpy as np

from trunkline_policy import head_format
from trunkline_policy.basis import Family
from trunkline_policy.head_decide import FamilyDecision
from trunkline_policy.head_parts import OUTSIDE, FamilyHead, Floats
from trunkline_policy.results import StageResult

NOWHERE: Final = StageResult(in_scope=0.0)
"""What a vector without direction gets: it is near to nothing."""


@dataclass(frozen=True, slots=True)
class SemanticResult:
    """What semantics make of a query, for each family of targets."""

    collections: StageResult
    templates: StageResult | None = None
    """None where the policy gives no texts for any template."""
    model_classes: StageResult | None = None


@dataclass(frozen=True, eq=False)
class HeadSet:
    """The heads of a policy's families in one embedding space. Immutable; safe for several threads."""

    families: tuple[FamilyHead, ...]
    dimension: int
    space_id: str
    model_id: str
    model_revision: str
    basis_digest: str
    """Of the texts that it was made from."""
    example_count: int
    """How many texts those were."""

    @property
    def kind(self) -> Literal["prototypes", "linear"]:
        """`linear` if a trained classifier decides the collections."""
        return "linear" if any(head.linear for head in self.families if head.family == "collection") else "prototypes"

    @property
    def size_bytes(self) -> int:
        """Memory of its matrices."""
        rows = sum(len(head.prototypes) + len(head.weights) for head in self.families)
        return 2 * rows * self.dimension * np.dtype(np.float32).itemsize

    @property
    def collections(self) -> tuple[str, ...]:
        """The collections that it can choose, ascending."""
        return tuple(
            name for head in self.families if head.family == "collection" for name in head.targets if name != OUTSIDE
        )

    def decide(self, vector: Sequence[float]) -> SemanticResult:
        """Return what each family makes of a query's vector, whose length does not matter.

        Raises ValueError if the vector has another dimension. One that is not finite, or zero, belongs nowhere.
        """
        query = np.asarray(vector, dtype=np.float32)
        if query.shape != (self.dimension,):
            raise ValueError(f"a vector of {self.dimension} numbers is needed")
        length = math.sqrt(float(query.dot(query)))  # `dot` tells nobody of an overflow, which is looked at here
        if math.isfinite(length) and length > 1e-12:
            product = self._matrix @ (query / np.float32(length))
            found = {family: decision.decide(product) for family, decision in self._decisions}
        else:
            found = {family: NOWHERE for family, _ in self._decisions}
        return SemanticResult(found.get("collection", NOWHERE), found.get("template"), found.get("model_class"))

    def restricted(self, collections: Collection[str]) -> HeadSet:
        """Return the head without collections that are not among those given; probabilities are over what is left."""
        if all(name in collections for name in self.collections):
            return self
        return replace(
            self,
            families=tuple(
                head.kept([name == OUTSIDE or name in collections for name in head.targets])
                if head.family == "collection"
                else head
                for head in self.families
            ),
        )

    def to_bytes(self) -> bytes:
        """Return the head as it is stored; the same head gives the same bytes everywhere."""
        header: dict[str, str | int] = {
            "basis_digest": self.basis_digest,
            "dimension": self.dimension,
            "example_count": self.example_count,
            "model_id": self.model_id,
            "model_revision": self.model_revision,
            "space_id": self.space_id,
        }
        return head_format.pack(header, self.families)

    @classmethod
    def from_bytes(cls, content: bytes) -> HeadSet:
        """Read what `to_bytes` gave. Raises ValueError for anything else; never runs what it reads."""
        header, families = head_format.unpack(content)
        return cls(families=families, **header)

    @cached_property
    def _matrix(self) -> Floats:
        rows = [part for head in self.families for part in (head.prototypes, head.weights)]
        return np.ascontiguousarray(np.concatenate(rows) if rows else np.zeros((0, self.dimension)), dtype=np.float32)

    @cached_property
    def _decisions(self) -> tuple[tuple[Family, FamilyDecision], ...]:
        decisions: list[tuple[Family, FamilyDecision]] = []
        row = 0
        for head in self.families:
            decision = FamilyDecision(head, row)
            decisions.append((head.family, decision))
            row = decision.stop
        return tuple(decisions)
