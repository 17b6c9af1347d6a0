"""Every method of every served contract stands in its service's policy, and nothing else does."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from google.protobuf.descriptor import ServiceDescriptor

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.inference.v1 import inference_service_pb2 as inference_pb
from trunkline.rerank.v1 import rerank_service_pb2 as rerank_pb
from trunkline.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_mesh.method_policy import Access, MethodPolicy

SERVED: dict[str, tuple[Any, str]] = {
    "trunkline_routing.edge.policy": (routing_pb, "RoutingService"),
    "trunkline_retrieval.policy": (retrieval_pb, "RetrievalService"),
    "trunkline_rerank.policy": (rerank_pb, "RerankService"),
    "trunkline_inference.policy": (inference_pb, "InferenceService"),
    "trunkline_admission.policy": (admission_pb, "AdmissionService"),
}


def table_and_service(module: str) -> tuple[dict[str, MethodPolicy], ServiceDescriptor]:
    contract, name = SERVED[module]
    return importlib.import_module(module).POLICY, contract.DESCRIPTOR.services_by_name[name]


@pytest.mark.parametrize("module", SERVED)
def test_policies_and_contracts_agree(module: str) -> None:
    """A method without policy would be denied to everybody, a policy without method is a typing error."""
    policy, service = table_and_service(module)
    assert set(policy) == {f"/{service.full_name}/{method.name}" for method in service.methods}


@pytest.mark.parametrize("module", SERVED)
def test_no_data_is_open(module: str) -> None:
    """Only health is for everybody."""
    policy, _ = table_and_service(module)
    assert all(one.access is not Access.PUBLIC for one in policy.values())


def test_the_front_door_is_for_tenants() -> None:
    """Its caps and floors are those that the contract states; whole documents are read by a tenant's admins alone."""
    policy, _ = table_and_service("trunkline_routing.edge.policy")
    access = {name.rpartition("/")[2]: one.access for name, one in policy.items()}
    assert access.pop("SampleDocuments") is Access.TENANT_ADMIN
    assert set(access.values()) == {Access.TENANT}
    bounds = {name.rpartition("/")[2]: (one.cap_s, one.floor_s) for name, one in policy.items()}
    assert bounds == {
        "Search": (10, 0.005),
        "SearchBatch": (20, 0.005),
        "Route": (5, 0.002),
        "Upsert": (60, 0.020),
        "Delete": (60, 0.020),
        "RecordFeedback": (5, 0.002),
        "SampleDocuments": (30, 0.005),
    }
