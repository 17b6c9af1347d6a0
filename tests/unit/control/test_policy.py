"""The method policy covers the contracts exactly."""

from __future__ import annotations

from pathlib import Path

from trunkline.control.v1 import (
    approval_service_pb2,
    collection_map_service_pb2,
    map_service_pb2,
    policy_service_pb2,
    region_service_pb2,
    space_service_pb2,
    tenant_service_pb2,
)
from trunkline_map.blob import FileBlobStore
from trunkline_map.etcd import open_etcd
from trunkline_map.testing import static_map
from trunkline_mesh.method_policy import Access
from trunkline_routing.control.bindings import control_bindings
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.policy import CONTROL_POLICY

FILES = (
    approval_service_pb2,
    collection_map_service_pb2,
    map_service_pb2,
    policy_service_pb2,
    region_service_pb2,
    space_service_pb2,
    tenant_service_pb2,
)

TENDING = {"RollBackPolicy", "PutPolicyHead", "PutRollout", "EndRollout"}
"""Also for services that act for a tenant; `access.py` asks for the role, and test_access.py shows it."""


def contract_methods() -> dict[str, str]:
    """Full method name to short name, from the descriptors."""
    services = [service for file in FILES for service in file.DESCRIPTOR.services_by_name.values()]
    return {f"/{service.full_name}/{method.name}": method.name for service in services for method in service.methods}


def test_every_method_has_a_policy_and_no_other_does() -> None:
    """A method without one would be denied, one without a method would be a misspelling."""
    assert set(CONTROL_POLICY) == set(contract_methods())


def test_every_change_needs_a_role() -> None:
    """Nobody changes the map by merely having a credential."""
    changes = {
        name
        for name, short in contract_methods().items()
        if short.startswith(("Put", "Delete", "Drain", "Undrain", "Approve", "Reject", "Import", "Renew"))
        and short not in TENDING
    }

    assert {CONTROL_POLICY[name].access for name in changes} == {Access.OPERATOR, Access.TENANT_ADMIN}
    assert all(CONTROL_POLICY[name].access is not Access.PUBLIC for name in CONTROL_POLICY)


async def test_every_service_is_bound() -> None:
    """The bindings name the services of the contracts."""
    async with open_etcd(["127.0.0.1:1"]) as store:  # nothing is sent
        bindings = control_bindings(
            MapStore(store, static_map()), FileBlobStore(Path("unused")), lambda _text, _names: b""
        )

    named = {service.full_name for file in FILES for service in file.DESCRIPTOR.services_by_name.values()}
    assert {binding.service for binding in bindings} == named
