"""What each method of the control role asks of its caller. Whose entries it may touch is decided in `access.py`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from trunkline_mesh.method_policy import Access, MethodPolicy

_CAP_S: Final = 10.0
_FLOOR_S: Final = 0.005
_SERVICES: Final[Mapping[str, Mapping[str, Access]]] = {
    "CollectionMapService": {
        "GetCollection": Access.AUTHENTICATED,
        "ListCollections": Access.AUTHENTICATED,
        "PutCollection": Access.TENANT_ADMIN,
        "DeleteCollection": Access.TENANT_ADMIN,
        "ListCollectionChanges": Access.AUTHENTICATED,
    },
    "RegionService": {
        "GetRegion": Access.AUTHENTICATED,
        "ListRegions": Access.AUTHENTICATED,
        "PutRegion": Access.OPERATOR,
        "DeleteRegion": Access.OPERATOR,
        "ListRegionChanges": Access.AUTHENTICATED,
        "DrainRegion": Access.OPERATOR,
        "UndrainRegion": Access.OPERATOR,
    },
    "TenantService": {
        "GetTenant": Access.AUTHENTICATED,
        "ListTenants": Access.OPERATOR,
        "PutTenant": Access.OPERATOR,
        "DeleteTenant": Access.OPERATOR,
        "ListTenantChanges": Access.AUTHENTICATED,
    },
    "SpaceService": {
        "GetSpace": Access.AUTHENTICATED,
        "ListSpaces": Access.AUTHENTICATED,
        "PutSpace": Access.OPERATOR,
        "DeleteSpace": Access.OPERATOR,
        "ListSpaceChanges": Access.AUTHENTICATED,
    },
    "PolicyService": {
        "GetPolicy": Access.AUTHENTICATED,
        "PutPolicy": Access.TENANT_ADMIN,
        "ListPolicyVersions": Access.AUTHENTICATED,
        # An admin of the tenant, an operator, or a service that acts for the tenant: decided in `access.py`.
        "RollBackPolicy": Access.AUTHENTICATED,
        "PutPolicyHead": Access.AUTHENTICATED,
        "PutRollout": Access.AUTHENTICATED,
        "EndRollout": Access.AUTHENTICATED,
    },
    "MapService": {
        "GetMapStatus": Access.OPERATOR,
        "ImportBatch": Access.OPERATOR,
        "GetImport": Access.OPERATOR,
        "RenewEpoch": Access.OPERATOR,
    },
    "ApprovalService": {
        "ListApprovals": Access.OPERATOR,
        "ApproveChange": Access.OPERATOR,
        "RejectChange": Access.OPERATOR,
    },
}
_WATCHES: Final[Mapping[str, Access]] = {
    "CollectionMapService/WatchCollections": Access.AUTHENTICATED,
    "RegionService/WatchRegions": Access.AUTHENTICATED,
    "TenantService/WatchTenants": Access.OPERATOR,
    "SpaceService/WatchSpaces": Access.AUTHENTICATED,
}
_WATCH_CAP_S: Final = 3600.0
_EXPORT_CAP_S: Final = 300.0

CONTROL_POLICY: Final[Mapping[str, MethodPolicy]] = MappingProxyType(
    {
        f"/trunkline.control.v1.{service}/{method}": MethodPolicy(access, _CAP_S, _FLOOR_S, preemptible=False)
        for service, methods in _SERVICES.items()
        for method, access in methods.items()
    }
    # A stream waits most of its hour: it must not hold a slot of the limiter. Their number is bounded in `watches.py`.
    | {
        f"/trunkline.control.v1.{path}": MethodPolicy(
            access, cap_s=_WATCH_CAP_S, floor_s=0.0, weight=0.0, ends_at_drain=True
        )
        for path, access in _WATCHES.items()
    }
    # As slow as its reader, which must not hold a slot either.
    | {
        "/trunkline.control.v1.MapService/ExportMap": MethodPolicy(
            Access.OPERATOR, _EXPORT_CAP_S, _FLOOR_S, weight=0.0, max_open=8, max_open_per_caller=2
        )
    }
)
"""Every method of the control role; one that is missing is denied."""
