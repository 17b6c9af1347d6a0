"""The way to etcd is checked at start, whole, and shows no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trunkline_map.etcd_access import EtcdAccess
from trunkline_map.etcd_settings import EtcdSettings

FILE = Path("file.pem")


@pytest.mark.parametrize("endpoint", ["127.0.0.1:2379", "[::1]:2379", "etcd-0.etcd.trunkline.svc:2379", "localhost:1"])
def test_endpoints_are_names_or_addresses(endpoint: str) -> None:
    """Several of different forms go together."""
    assert EtcdAccess((endpoint, "other:1")).endpoints[0] == endpoint


@pytest.mark.parametrize("endpoint", ["", "host", "host:0", ":1", "host:x", "http://host:1", "::1:5", "[x]:1", "a b:1"])
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    """At start, not at the first call."""
    with pytest.raises(ValueError, match=r"etcd endpoint|hextet|At least"):
        EtcdAccess((endpoint,))


def test_an_access_needs_an_endpoint() -> None:
    """None is an error, not an empty map."""
    with pytest.raises(ValueError, match="endpoints are needed"):
        EtcdAccess(())


@pytest.mark.parametrize(
    "fields",
    [
        {"ca_path": FILE, "cert_path": FILE},
        {"ca_path": FILE, "key_path": FILE},
        {"cert_path": FILE, "key_path": FILE},
        {"username": "map"},
        {"password_path": FILE},
    ],
)
def test_half_a_credential_is_refused(fields: dict[str, Any]) -> None:
    """It would be refused by etcd, or worse, not be used at all."""
    with pytest.raises(ValueError, match="etcd"):
        EtcdAccess(("h:1",), **fields)


def test_settings_give_the_access() -> None:
    """Endpoints are separated by commas; blanks do not matter."""
    settings = EtcdSettings(
        etcd_endpoints=" a:1, b:2 ,", etcd_ca_path=FILE, etcd_username="map", etcd_password_path=Path("secret")
    )

    assert settings.etcd_access() == EtcdAccess(
        ("a:1", "b:2"), ca_path=FILE, username="map", password_path=Path("secret")
    )
    assert "secret" not in repr(settings.etcd_access())


def test_settings_that_contradict_each_other_end_the_start() -> None:
    """Said as a setting's error."""
    with pytest.raises(ValidationError, match="certificate"):
        EtcdSettings(etcd_cert_path=FILE)
