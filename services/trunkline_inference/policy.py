"""Who may call what, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trunkline_mesh.method_policy import Access, MethodPolicy

SERVICE: Final = "trunkline.inference.v1.InferenceService"

POLICY: Final[Mapping[str, MethodPolicy]] = {
    f"/{SERVICE}/Embed": MethodPolicy(Access.TENANT, cap_s=30.0, floor_s=0.002),
    f"/{SERVICE}/Score": MethodPolicy(Access.TENANT, cap_s=10.0, floor_s=0.005),
    f"/{SERVICE}/ListModels": MethodPolicy(Access.AUTHENTICATED, cap_s=5.0, floor_s=0.002),
}
