"""Who may call what, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trunkline_mesh.method_policy import Access, MethodPolicy

SERVICE: Final = "trunkline.rerank.v1.RerankService"

POLICY: Final[Mapping[str, MethodPolicy]] = {
    f"/{SERVICE}/Rerank": MethodPolicy(Access.TENANT, cap_s=5.0, floor_s=0.010),
}
