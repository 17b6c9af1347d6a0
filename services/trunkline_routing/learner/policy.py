"""Who may call what of the learner, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trunkline_mesh.method_policy import Access, MethodPolicy

SERVICE: Final = "trunkline.routing.v1.LearningService"

_LONG: Final = MethodPolicy(
    Access.TENANT_ADMIN, cap_s=600.0, floor_s=0.010, weight=0.0, max_open=8, max_open_per_caller=2
)
"""Minutes, if a head must be trained first: such calls hold no slot, and are counted instead."""

POLICY: Final[Mapping[str, MethodPolicy]] = {
    f"/{SERVICE}/EvaluatePolicy": _LONG,
    f"/{SERVICE}/GetRoutingReport": MethodPolicy(Access.TENANT_ADMIN, cap_s=10.0, floor_s=0.005),
    f"/{SERVICE}/Learn": _LONG,
}
