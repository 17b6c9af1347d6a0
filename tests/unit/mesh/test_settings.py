"""Settings: misspelt names are refused, secrets stay hidden, reflection is open on loopback only."""

from __future__ import annotations

import pytest
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from trunkline_mesh.settings import ServiceSettings, SettingsError


class ProbeSettings(ServiceSettings):
    """Settings of a service of its own."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_PROBE_", frozen=True, extra="ignore")

    store_password: SecretStr = Field(SecretStr(""))


@pytest.mark.parametrize("name", ["TRUNKLINE_PROBE_REGOIN", "trunkline_probe_regoin"])
def test_a_misspelt_name_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """pydantic-settings would run with the default instead."""
    monkeypatch.setenv(name, "eu-west")
    with pytest.raises(SettingsError, match=name):
        ProbeSettings.load()


def test_other_services_names_are_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several services may share an environment."""
    monkeypatch.setenv("TRUNKLINE_OTHER_THING", "1")
    monkeypatch.setenv("TRUNKLINE_PROBE_REGION", "eu-west")
    assert ProbeSettings.load().region == "eu-west"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REGION", "Eu_West"),
        ("MAX_CONCURRENCY", "0"),
        ("MAX_QUEUE", "-1"),
        ("LOG_LEVEL", "loud"),
        ("DRAIN_GRACE_S", "0"),
    ],
)
def test_a_value_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """At the start, by the same exception as a misspelt name."""
    monkeypatch.setenv(f"TRUNKLINE_PROBE_{name}", value)
    with pytest.raises(SettingsError):
        ProbeSettings.load()


@pytest.mark.parametrize(
    ("listen", "fits"),
    [("127.0.0.1:0", True), ("[::1]:7000", True), ("localhost:7000", True), ("0.0.0.0:7000", False), ("[::]:1", False)],
)
def test_open_reflection_needs_a_loopback_listener(listen: str, *, fits: bool) -> None:
    """Reflection without a credential gives the whole schema to whoever can connect."""
    if fits:
        assert ProbeSettings(listen=listen, reflection_open=True).reflection_open
    else:
        with pytest.raises(ValidationError):
            ProbeSettings(listen=listen, reflection_open=True)


def test_redaction_hides_secrets_and_names_everything() -> None:
    """What is logged at the start."""
    told = ProbeSettings(store_password=SecretStr("hunter2"), log_hash_key=SecretStr("salt")).redacted()
    assert set(told) == set(ProbeSettings.model_fields)
    assert "hunter2" not in str(told)
    assert "salt" not in str(told)


def test_settings_do_not_change() -> None:
    """They are read once."""
    with pytest.raises(ValidationError):
        ProbeSettings().region = "elsewhere"  # type: ignore[misc]  # frozen is the point


def test_hop_keys_are_refused_without_being_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too short a key stops the start; its text stands in no message."""
    monkeypatch.setenv("TRUNKLINE_PROBE_HOP_KEYS", "too-short-word")
    with pytest.raises(SettingsError, match="16 characters") as caught:
        ProbeSettings.load()
    assert "too-short-word" not in f"{caught.value!r} {caught.value}"
