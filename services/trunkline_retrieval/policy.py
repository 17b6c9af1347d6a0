"""Who may call what, and for how long."""

from __future__ import annotations

from typing import Final

from trunkline_mesh.method_policy import Access, MethodPolicy, PolicyTable

SERVICE: Final = "trunkline.retrieval.v1.RetrievalService"

POLICY: Final[PolicyTable] = {
    f"/{SERVICE}/Search": MethodPolicy(Access.TENANT, cap_s=5.0, floor_s=0.002),
    f"/{SERVICE}/Upsert": MethodPolicy(Access.TENANT, cap_s=30.0, floor_s=0.005, preemptible=False),
    f"/{SERVICE}/Delete": MethodPolicy(Access.TENANT, cap_s=30.0, floor_s=0.005, preemptible=False),
    f"/{SERVICE}/Export": MethodPolicy(
        Access.TENANT, cap_s=600.0, floor_s=0.005, weight=0.0, max_open=16, max_open_per_caller=4
    ),
}
