"""Settings and policy of the admission service."""

from __future__ import annotations

import pytest

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline_admission.policy import POLICY, SERVICE
from trunkline_admission.settings import AdmissionSettings
from trunkline_mesh.method_policy import Access
from trunkline_mesh.settings import SettingsError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIERS", "{}"),
        ("ADVANCE_REQUESTS", "0"),
        ("REGION_LEASE_VALID_S", "61"),
        ("MAX_PERMITS", "0"),
        ("REPLICAS", "0"),
        ("REDIS_TIMEOUT_S", "0"),
        ("REDDIS_URL", "redis://127.0.0.1:6379"),
    ],
)
def test_settings_that_make_no_sense_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Wrong values and misspelt names end the start."""
    monkeypatch.setenv(f"TRUNKLINE_ADMISSION_{name}", value)

    with pytest.raises(SettingsError):
        AdmissionSettings.load()


def test_the_log_of_the_settings_hides_the_stores_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """A redis URL may hold a password."""
    monkeypatch.setenv("TRUNKLINE_ADMISSION_REDIS_URL", "redis://:s3cret@127.0.0.1:6379/0")

    assert "s3cret" not in str(AdmissionSettings.load().redacted())


def test_every_method_has_a_policy_and_leases_are_for_services() -> None:
    """The table is the contract's methods, no more and no less."""
    methods = admission_pb.DESCRIPTOR.services_by_name["AdmissionService"].methods

    assert set(POLICY) == {f"/{SERVICE}/{method.name}" for method in methods}
    assert POLICY[f"/{SERVICE}/Lease"].access is Access.SERVICE
    assert POLICY[f"/{SERVICE}/Admit"].access is Access.TENANT
