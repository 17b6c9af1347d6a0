"""Who may call what of UsageService, and for how long. Whose tenant it may be, the servicer says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trunkline_mesh.method_policy import Access, MethodPolicy

USAGE_SERVICE: Final = "trunkline.admission.v1.UsageService"

_READ: Final = MethodPolicy(Access.AUTHENTICATED, cap_s=10.0, floor_s=0.005)

USAGE_POLICY: Final[Mapping[str, MethodPolicy]] = {
    f"/{USAGE_SERVICE}/{method}": _READ for method in ("GetLimits", "GetUsage", "GetObjectives", "GetLevels")
}
