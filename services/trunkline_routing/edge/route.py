"""Route: the decision of a search and where it would go; executes nothing, and is billed what deciding used."""

from __future__ import annotations

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.source import MapSource
from trunkline_mesh.request import RequestScope
from trunkline_routing.edge import gate as gates
from trunkline_routing.edge.budgets import StageBudgets
from trunkline_routing.edge.decide import Decider
from trunkline_routing.edge.failover import Failover
from trunkline_routing.edge.in_flight import InFlight
from trunkline_routing.edge.model import Answer, Gate, Query
from trunkline_routing.edge.retrieving import courses_of
from trunkline_routing.edge.spending import Spending
from trunkline_routing.edge.trail import TrailRecorder
from trunkline_routing.settings import RoutingSettings


class Route:
    """Explains what `Search` would do, by the same code."""

    def __init__(
        self,
        source: MapSource,
        decider: Decider,
        failover: Failover,
        budgets: StageBudgets,
        settings: RoutingSettings,
        terms_of: gates.TermsOf,
        in_flight: InFlight,
        spending: Spending,
    ) -> None:
        """Share decider and failover with the search, and what bounds and bills it."""
        self._source = source
        self._decider = decider
        self._failover = failover
        self._budgets = budgets
        self._settings = settings
        self._terms_of = terms_of
        self._in_flight = in_flight
        self._spending = spending

    async def run(self, tenant_id: str, query: Query, map_token: bytes, scope: RequestScope) -> Answer:
        """Return a search that was not made, without hits. Fails as the search would, but for queries that a policy
        refuses: of them it tells that nothing decides.

        Where deciding may ask a model or somebody outside, quota for it is taken first, and what was not used goes
        back: rules alone, and what is remembered, cost nothing.
        """
        gate = await gates.enter(
            self._source,
            tenant_id=tenant_id,
            region_id=self._settings.region,
            map_token=map_token,
            deadline=scope.deadline,
            terms_of=self._terms_of,
        )
        gate.terms.require_search()
        trail = TrailRecorder(scope, self._settings.region)
        trail.map(gate, self._source.age_s(), aged_after_s=self._settings.map_aged_after_s)
        with self._in_flight.held(gate, scope):
            if not _may_ask(gate, query):
                trail.terms(gate.terms)
                return await self._explained(gate, query, trail, scope)
            async with self._spending.of_route(gate, scope, query, trail):
                return await self._explained(gate, query, trail, scope)

    async def _explained(self, gate: Gate, query: Query, trail: TrailRecorder, scope: RequestScope) -> Answer:
        budget = self._budgets.embedding(scope.deadline)
        with trail.stage(trail_pb.STAGE_NAME_DECISION, budget):
            decision = await self._decider.decide(gate, query, deadline=budget, trail=trail, principal=scope.principal)
        decision_id = self._decider.sealed(gate, query, decision)
        trail.decision(decision, explain=query.explain, decision_id=decision_id)
        for course in courses_of(gate, query, decision, trail, self._failover, {}):
            course.explain_only(self._failover)
        return Answer((), trail.finish(explain=query.explain), decision)


def _may_ask(gate: Gate, query: Query) -> bool:
    """Return True unless it is plain that the decision needs neither a vector nor anybody outside."""
    if query.collections or query.all_collections or gate.terms.semantics is not None:
        return False
    return gate.snapshot.policy(gate.tenant.tenant_id) is not None
