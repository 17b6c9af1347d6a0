"""What each method of the front door asks of its caller. A method that is missing here is denied."""

from __future__ import annotations

from typing import Final

from trunkline_mesh.method_policy import Access, MethodPolicy, PolicyTable

_SERVICE: Final = "/trunkline.routing.v1.RoutingService"

POLICY: Final[PolicyTable] = {
    f"{_SERVICE}/Search": MethodPolicy(Access.TENANT, cap_s=10, floor_s=0.005),
    f"{_SERVICE}/SearchBatch": MethodPolicy(Access.TENANT, cap_s=20, floor_s=0.005, weight=4),
    f"{_SERVICE}/Route": MethodPolicy(Access.TENANT, cap_s=5, floor_s=0.002, weight=0.5),
    f"{_SERVICE}/Upsert": MethodPolicy(Access.TENANT, cap_s=60, floor_s=0.020, weight=2, preemptible=False),
    f"{_SERVICE}/Delete": MethodPolicy(Access.TENANT, cap_s=60, floor_s=0.020, weight=1, preemptible=False),
    f"{_SERVICE}/RecordFeedback": MethodPolicy(Access.TENANT, cap_s=5, floor_s=0.002, weight=0.5, preemptible=False),
    f"{_SERVICE}/SampleDocuments": MethodPolicy(Access.TENANT_ADMIN, cap_s=30, floor_s=0.005, weight=2),
}
