"""Who may call what, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trunkline_mesh.method_policy import Access, MethodPolicy

SERVICE: Final = "trunkline.admission.v1.AdmissionService"
ADMIT_CAP_S: Final = 1.0
"""Longest that Admit, Settle and GetStanding may take."""
REPORT_CAP_S: Final = 2.0
"""Longest that Report and a batch of settlements may take."""

POLICY: Final[Mapping[str, MethodPolicy]] = {
    f"/{SERVICE}/Admit": MethodPolicy(Access.TENANT, cap_s=ADMIT_CAP_S, floor_s=0.001, preemptible=False),
    f"/{SERVICE}/Settle": MethodPolicy(Access.TENANT, cap_s=ADMIT_CAP_S, floor_s=0.001, preemptible=False),
    f"/{SERVICE}/SettleBatch": MethodPolicy(Access.TENANT, cap_s=REPORT_CAP_S, floor_s=0.001, preemptible=False),
    # From memory, without waiting: refusing it would cost as much, and a service that hears no answer has to serve
    # whoever it asked about.
    f"/{SERVICE}/GetStanding": MethodPolicy(Access.TENANT, cap_s=ADMIT_CAP_S, floor_s=0.001, weight=0.0),
    f"/{SERVICE}/Report": MethodPolicy(Access.SERVICE, cap_s=REPORT_CAP_S, floor_s=0.001, preemptible=False),
    # A stream lives for an hour and waits most of it: it must not hold a slot of the limiter.
    f"/{SERVICE}/Lease": MethodPolicy(Access.SERVICE, cap_s=3600.0, floor_s=0.0, weight=0.0, ends_at_drain=True),
}
