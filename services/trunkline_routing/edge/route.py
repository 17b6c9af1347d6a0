"""Route: the decision of a search and where it would go; executes and charges nothing."""

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
    ) -> None:
        """Share decider and failover with the search, and what bounds it."""
        self._source = source
        self._decider = decider
        self._failover = failover
        self._budgets = budgets
        self._settings = settings
        self._terms_of = terms_of
        self._in_flight = in_flight

    async def run(self, tenant_id: str, query: Query, map_token: bytes, scope: RequestScope) -> Answer:
        """Return a search that was not made, without hits. Fails as the search would, but for queries that a policy
        refuses: of them it tells that nothing decides.
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
        with self._in_flight.held(gate, scope):
            return await self._explained(gate, query, scope)

    async def _explained(self, gate: Gate, query: Query, scope: RequestScope) -> Answer:
        settings = self._settings
        trail = TrailRecorder(scope, settings.region)
        trail.terms(gate.terms)
        trail.map(gate, self._source.age_s(), aged_after_s=settings.map_aged_after_s)
        budget = self._budgets.embedding(scope.deadline)
        with trail.stage(trail_pb.STAGE_NAME_DECISION, budget):
            decision = await self._decider.decide(gate, query, deadline=budget, trail=trail, principal=scope.principal)
        decision_id = self._decider.sealed(gate, query, decision)
        trail.decision(decision, explain=query.explain, decision_id=decision_id)
        for course in courses_of(gate, query, decision, trail, self._failover, {}):
            course.explain_only(self._failover)
        return Answer((), trail.finish(explain=query.explain), decision)
