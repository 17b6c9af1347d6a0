"""Deciding by a policy away from the hot path, with every stage's own answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_policy import limits
from trunkline_policy.cascade import Settled, settle
from trunkline_policy.generation import GenerationStage
from trunkline_policy.head import HeadSet
from trunkline_policy.logical import LogicalStage
from trunkline_policy.model import RoutingPolicy
from trunkline_policy.results import NOBODY, Caller, Candidate, StageResult

DECIDED: Final = frozenset(("logical", "semantic"))
"""Strategies by which the policy knew; after its fallback nobody was right."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One query's decision."""

    strategy: str
    """As `Settled.strategy`."""
    chosen: tuple[Candidate, ...]
    logical: StageResult
    semantic: StageResult | None
    template: str = ""
    model_class: str = ""

    @property
    def decided(self) -> bool:
        """True if a stage knew."""
        return self.strategy in DECIDED

    def is_right(self, right: Sequence[str]) -> bool:
        """Return True if a stage chose any of them; without any, if no stage chose anything."""
        if not right:
            return not self.decided
        return self.decided and any(candidate.name in right for candidate in self.chosen)

    @property
    def agrees(self) -> bool | None:
        """Whether both stages' best collections are the same; None unless both have one."""
        if self.semantic is None or not self.logical.candidates or not self.semantic.candidates:
            return None
        return self.logical.candidates[0].name == self.semantic.candidates[0].name


class PolicyDecider:
    """Decides by one policy and its head. Pure and quick; compile and use it in a thread for many queries."""

    def __init__(self, policy: RoutingPolicy, head: HeadSet | None) -> None:
        """Compile the policy."""
        self.policy = policy
        self.head = head
        self._logical = LogicalStage(policy)
        self._generation = GenerationStage(policy)

    def decide(self, text: str, vector: Sequence[float] | None, caller: Caller = NOBODY) -> Outcome:
        """Return the decision. `vector` is the query's in the head's space; without one semantics are not asked."""
        logical = self._logical.decide(text, caller)
        semantic = None if self.head is None or vector is None else self.head.decide(vector)
        collections = None if semantic is None else semantic.collections
        settled = settle(self.policy, logical, collections)
        generated = self._generation.decide(text, semantic, caller)
        return Outcome(
            strategy=settled.strategy,
            chosen=settled.chosen or self._everything(settled),
            logical=logical,
            semantic=collections,
            template=generated.template or "",
            model_class=generated.model_class or "",
        )

    def _everything(self, settled: Settled) -> tuple[Candidate, ...]:
        """Return every collection of the policy, as far as one decision may name them, where nothing less is meant."""
        if settled.strategy not in ("all", "fallback"):
            return ()
        names = sorted(self.policy.collections.keys() - settled.excluded)[: limits.MAX_CHOSEN]
        return tuple(Candidate(name, 0.0) for name in names)
