"""Settings and policy of the admission service."""

from __future__ import annotations

import json

import pytest

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline_admission.policy import POLICY, SERVICE
from trunkline_admission.settings import AdmissionSettings
from trunkline_mesh.method_policy import Access
from trunkline_mesh.settings import SettingsError


def test_the_default_tiers_rise_in_rank_and_guarantee(monkeypatch: pytest.MonkeyPatch) -> None:
    """free < pro < enterprise, as the fair queue's weights expect ranks 0, 1, 2."""
    tiers = AdmissionSettings().tiers

    assert [tiers[name].rank for name in ("free", "pro", "enterprise")] == [0, 1, 2]
    shares = [tiers[name].guaranteed_share for name in ("free", "pro", "enterprise")]
    assert shares == sorted(shares)


def test_tiers_come_from_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiers are configured, not an enum."""
    gold = {"rank": 7, "tokens_per_s": 12.5, "burst_tokens": 30, "guaranteed_share": 0.5}
    monkeypatch.setenv("TRUNKLINE_ADMISSION_TIERS", json.dumps({"gold": gold}))

    assert AdmissionSettings.load().tiers["gold"].model_dump() == gold


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIERS", "{}"),
        ("TIERS", '{"gold": {"rank": 1, "tokens_per_s": 0, "burst_tokens": 1, "guaranteed_share": 0}}'),
        ("TIERS", '{"gold": {"rank": 1, "tokens_per_s": 1, "burst_tokens": 1, "guaranteed_share": 2}}'),
        ("TIERS", '{"gold": {"rank": 1, "tokens_per_s": 1, "burst_tokens": 1, "guaranteed_share": 0, "rate": 1}}'),
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
