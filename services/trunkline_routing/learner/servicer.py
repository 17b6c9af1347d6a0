"""LearningService: parse, call a use case, render."""

from __future__ import annotations

from typing import Any

import grpc

from trunkline.routing.v1 import learning_service_pb2 as learning_pb
from trunkline.routing.v1 import learning_service_pb2_grpc as learning_grpc
from trunkline_mesh.request import current_request
from trunkline_routing.learner.admittance import Admittance, Admitted
from trunkline_routing.learner.evaluating import Evaluation
from trunkline_routing.learner.journal import Journal
from trunkline_routing.learner.learning import Learning
from trunkline_routing.learner.messages import parse_questions, render_evaluated, render_learned, render_report
from trunkline_routing.learner.peers import Peers, was_forwarded
from trunkline_routing.learner.report import Reporting

Context = grpc.aio.ServicerContext[Any, Any]


class LearningServicer(learning_grpc.LearningServiceServicer):
    """The learner's methods."""

    def __init__(
        self,
        admittance: Admittance,
        peers: Peers,
        evaluation: Evaluation,
        learning: Learning,
        reporting: Reporting,
        journal: Journal,
    ) -> None:
        """Answer with three use cases; `journal` is told of what was learned."""
        self._admittance = admittance
        self._peers = peers
        self._evaluation = evaluation
        self._learning = learning
        self._reporting = reporting
        self._journal = journal

    async def EvaluatePolicy(
        self, request: learning_pb.EvaluatePolicyRequest, context: Context
    ) -> learning_pb.EvaluatePolicyResponse:
        """Decide labelled queries by a policy and by the live one. Any learner behind the tenant's wall may."""
        admitted = self._admittance.of(request.tenant_id)
        questions = parse_questions(request)
        deadline = current_request().deadline
        evaluated = await self._evaluation.evaluate(admitted.tenant_id, request.yaml, questions, deadline)
        return render_evaluated(evaluated)

    async def GetRoutingReport(
        self, request: learning_pb.GetRoutingReportRequest, context: Context
    ) -> learning_pb.GetRoutingReportResponse:
        """Tell how well routing works."""
        admitted = self._admittance.of(request.tenant_id)
        answer = await self._of_peer(admitted, "GetRoutingReport", request, context)
        if isinstance(answer, learning_pb.GetRoutingReportResponse):
            return answer
        return render_report(await self._reporting.of(admitted.tenant_id, current_request().deadline))

    async def Learn(self, request: learning_pb.LearnRequest, context: Context) -> learning_pb.LearnResponse:
        """Look at a tenant's feedback now."""
        admitted = self._admittance.of(request.tenant_id)
        answer = await self._of_peer(admitted, "Learn", request, context)
        if isinstance(answer, learning_pb.LearnResponse):
            return answer
        learned = await self._learning.look(admitted.tenant_id, current_request().deadline)
        self._journal.note(admitted.tenant_id, learned)
        return render_learned(learned)

    async def _of_peer(self, admitted: Admitted, method: str, request: Any, context: Context) -> Any | None:
        """Return the answer of the learner in charge; None where that is this one, or it cannot be reached."""
        if admitted.elsewhere is None or was_forwarded(context.invocation_metadata()):
            return None
        return await self._peers.ask(admitted.elsewhere, method, request)
