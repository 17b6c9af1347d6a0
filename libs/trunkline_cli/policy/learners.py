"""Finds the learners that may serve a tenant, and has them decide labelled queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.routing.v1 import learning_service_pb2 as learning_pb
from trunkline_cli.exits import CliError, Exit
from trunkline_cli.policy.labelled import Labelled
from trunkline_cli.policy.measure import batches, judged_all
from trunkline_cli.target import Target
from trunkline_client import LearningClient, RouterAddress
from trunkline_policy.evaluation import Judged

BATCH: Final = 256
"""Queries of one call; the contract takes 512."""
BATCH_DEADLINE_S: Final = 600.0
"""The contract's cap: the first batch may have to train the policy's head."""

Told = Callable[[int, int, str], None]


async def learning_client(target: Target, learners: Sequence[str], tenant: str) -> LearningClient:
    """Return a client of the learners named, else of those that the map has inside the tenant's jurisdictions.

    Raises CliError, TrunklineError.
    """
    if learners:
        try:
            return target.learning([RouterAddress.parse(item) for item in learners])
        except ValueError as exc:
            raise CliError(str(exc), code=Exit.USAGE) from None
    async with target.control() as control:
        allowed = set((await control.tenant(tenant)).value.jurisdictions)
        regions = (await control.regions()).value
    found = [
        RouterAddress(region.region_id, address)
        for region in regions
        if region.jurisdiction in allowed and region.state == entries_pb.REGION_STATE_SERVING
        for address in region.endpoints.learning
    ]
    if not found:
        raise CliError(
            f"the map names no learner in {', '.join(sorted(allowed))}", advice="name one with --learner host:port"
        )
    return target.learning(found)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """How labelled queries are decided by a policy, and by the live one beside it where both were asked."""

    queries: Sequence[Labelled]
    results: Sequence[learning_pb.EvaluatedQuery]
    live_version: int
    head_kind: str
    example_count: int
    of_live: bool
    """True if the live policy itself was asked about."""

    @property
    def decisions(self) -> list[learning_pb.EvaluatedDecision]:
        """Decisions of the policy that was asked about."""
        return [item.live if self.of_live else item.candidate for item in self.results]

    @property
    def judged(self) -> list[Judged]:
        """The same beside the truth."""
        return judged_all(self.queries, self.decisions)

    @property
    def judged_live(self) -> list[Judged] | None:
        """The live policy's decisions beside the truth; None without one, and where it was the one asked about."""
        if self.of_live or not all(item.HasField("live") for item in self.results):
            return None
        return judged_all(self.queries, [item.live for item in self.results])


async def evaluate(
    client: LearningClient, tenant: str, yaml: str, queries: Sequence[Labelled], told: Told
) -> Evaluated:
    """Have a learner decide all queries, in batches; an empty text asks about the live policy.

    Raises CliError, TrunklineError.
    """
    results: list[learning_pb.EvaluatedQuery] = []
    answer = learning_pb.EvaluatePolicyResponse()
    told(0, len(queries), "the policy is prepared")
    for batch in batches(queries, BATCH):
        answer = await client.evaluate(
            [_to_proto(item) for item in batch], tenant_id=tenant, yaml=yaml, deadline_s=BATCH_DEADLINE_S
        )
        results += answer.results
        told(len(results), len(queries), "queries")
    if not yaml and not answer.live_version:
        raise CliError(f"{tenant} has no live policy", advice="name a file with --policy")
    head = learning_pb.HeadKind.Name(answer.head_kind).removeprefix("HEAD_KIND_").lower()
    return Evaluated(queries, results, answer.live_version, head, answer.example_count, of_live=not yaml)


def _to_proto(query: Labelled) -> learning_pb.LabelledQuery:
    return learning_pb.LabelledQuery(
        text=query.text,
        collections=query.collections,
        template=query.template,
        model_class=query.model_class,
        roles=query.roles,
        attributes=query.attributes,
    )


def decision_data(query: Labelled, one: Judged, decision: learning_pb.EvaluatedDecision) -> Mapping[str, Any]:
    """Return one query with its decision as plain data."""
    return {
        "text": query.text,
        "collections": list(query.collections),
        "chosen": list(one.chosen),
        "stage": one.strategy,
        "right": one.best_correct,
        "logical": {item.name: item.confidence for item in decision.logical},
        "semantic": {item.name: item.confidence for item in decision.semantic},
        "in_scope": one.in_scope,
        "template": decision.template,
        "model_class": decision.model_class,
    }
