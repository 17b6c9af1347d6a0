"""The learner: evaluates policies, tells how well routing works, and learns from feedback when asked.

Answers are the contract's own messages (`trunkline.routing.v1`), as the control client's entries are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trunkline.routing.v1 import learning_service_pb2 as learning_pb
from trunkline_client import methods
from trunkline_client.requests import checked_deadline, representable
from trunkline_client.session import Session

REPORT_DEADLINE_S: Final = 10.0
LEARN_DEADLINE_S: Final = 600.0
"""A policy's head may have to be trained first; the contract's caps."""


class LearningClient(Session):
    """Asks routers of role learner, of the tenant's jurisdictions. Needs a tenant's admin or an operator.

    `tenant_id` may be left empty by a tenant for itself. Every method raises TrunklineError.
    """

    async def evaluate(
        self,
        queries: Sequence[learning_pb.LabelledQuery],
        *,
        tenant_id: str = "",
        yaml: str = "",
        deadline_s: float | None = None,
    ) -> learning_pb.EvaluatePolicyResponse:
        """Decide 1 to 512 labelled queries by a policy and by the live one; an empty `yaml` asks for the latter alone.

        The first call for a policy may take minutes, because its head is trained; the others are quick.
        """
        with representable():
            request = learning_pb.EvaluatePolicyRequest(tenant_id=tenant_id, yaml=yaml, queries=queries)
        checked_s = checked_deadline(deadline_s, LEARN_DEADLINE_S)
        return (await self._call(methods.EVALUATE_POLICY, request, checked_s)).response

    async def report(
        self, *, tenant_id: str = "", deadline_s: float | None = None
    ) -> learning_pb.GetRoutingReportResponse:
        """Tell how well routing works: the live indicator, feedback, comparisons, and what was learned last."""
        with representable():
            request = learning_pb.GetRoutingReportRequest(tenant_id=tenant_id)
        checked_s = checked_deadline(deadline_s, REPORT_DEADLINE_S)
        return (await self._call(methods.GET_ROUTING_REPORT, request, checked_s)).response

    async def learn(self, *, tenant_id: str = "", deadline_s: float | None = None) -> learning_pb.LearnResponse:
        """Look at the tenant's feedback now. Never repeated once it may have been received: each look is a step."""
        with representable():
            request = learning_pb.LearnRequest(tenant_id=tenant_id)
        checked_s = checked_deadline(deadline_s, LEARN_DEADLINE_S)
        return (await self._call(methods.LEARN, request, checked_s)).response
