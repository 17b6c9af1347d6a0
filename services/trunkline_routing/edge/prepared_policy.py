"""A policy, compiled: what deciding by it needs, made once for each version of its text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from trunkline_map.entries import CollectionEntry, HeadPointer, SpaceEntry
from trunkline_policy.document import from_form, parse_policy
from trunkline_policy.generation import GenerationStage
from trunkline_policy.logical import LogicalStage
from trunkline_policy.model import RoutingPolicy
from trunkline_policy.results import Caller
from trunkline_routing.edge.model import Gate

CallerKey: TypeAlias = tuple[frozenset[str], tuple[str | None, ...], tuple[str, ...]]


class PreparedPolicy:
    """A policy with its words compiled, and its variants as they are asked for."""

    def __init__(self, policy: RoutingPolicy, digest: str) -> None:
        """Compile; takes up to a second for the largest policies, so not for an event loop. Raises ValueError."""
        self.policy = policy
        self.digest = digest
        """SHA-256 of the policy's text."""
        self.logical = LogicalStage(policy)
        generation = GenerationStage(policy)
        self.generation = generation if generation.wanted else None
        conditions = [rule.when for rule in policy.rules]
        self._roles = frozenset(role for one in conditions for role in one.roles)
        self._attributes = tuple(sorted({name for one in conditions for name in one.attributes}))
        self._previous = frozenset(name for one in conditions for name in one.previous)
        self._variants: dict[tuple[str, ...], RoutingPolicy] = {}

    @property
    def looks_at_callers(self) -> bool:
        """True if what a query means here depends on who asks, or on what was asked before."""
        return bool(self._roles or self._attributes or self._previous)

    def caller_key(self, caller: Caller) -> CallerKey:
        """Return what the rules can see of a caller: for equal keys they decide alike."""
        return (
            caller.roles & self._roles,
            tuple(map(caller.attributes.get, self._attributes)),
            tuple(name for name in caller.previous if name in self._previous),
        )

    def varied(self, arms: Sequence[str]) -> RoutingPolicy:
        """Return the policy with the variants of these experiments, in the policy's order; itself without any.

        Variants change how the stages are settled, and never what they look for, so that the stages are shared.
        """
        if not arms:
            return self.policy
        key = tuple(arms)
        found = self._variants.get(key)
        if found is None:  # at most 2 ** MAX_EXPERIMENTS of them
            found = self.policy
            for experiment in self.policy.experiments:
                if experiment.name in key:
                    found = found.varied(experiment.variant)
            self._variants[key] = found
        return found


class Lane:
    """One way to decide a tenant's queries: a policy's text, and what was trained for it."""

    __slots__ = ("_first", "digest", "heads", "key", "prepared", "rollout_id", "version")

    def __init__(
        self,
        prepared: PreparedPolicy,
        digest: str,
        version: int,
        heads: Sequence[HeadPointer],
        rollout_id: str = "",
    ) -> None:
        """`version` is the live policy's; `rollout_id` tells that this is the policy of a rollout."""
        self.prepared = prepared
        self.digest = digest
        self.version = version
        self.heads = tuple(head for head in heads if head.policy_digest == digest)
        self.rollout_id = rollout_id
        self.key = "/".join((digest, *sorted(head.digest for head in self.heads)))
        """Names text and heads in the keys of remembered decisions."""
        self._first: tuple[Sequence[CollectionEntry], str] = ((), "")

    def space(self, gate: Gate, collections: Sequence[CollectionEntry]) -> SpaceEntry | None:
        """Return the routing space as the map has it now; None if it, or every collection, is gone."""
        policy = self.prepared.policy
        if policy.space is not None:
            return gate.snapshot.space(policy.space)
        if self._first[0] is not collections:
            named = (entry.space_id for entry in collections if entry.collection_id in policy.collections)
            self._first = (collections, next(named, ""))
        return gate.snapshot.space(self._first[1])

    def head(self, space: SpaceEntry) -> HeadPointer | None:
        """Return what was trained for the space as it is now; None if nothing was, or with another model."""
        wanted = (space.space_id, space.model_id, space.model_revision)
        fits = (head for head in self.heads if (head.space_id, head.model_id, head.model_revision) == wanted)
        return next(fits, None)


def compiler(digest: str, *, form: bool) -> Callable[[bytes], PreparedPolicy]:
    """Return what makes a policy of a blob's content: its form, which is quick to read, or its text."""

    def compile_(content: bytes) -> PreparedPolicy:
        return PreparedPolicy(from_form(content) if form else parse_policy(content.decode()), digest)

    return compile_
