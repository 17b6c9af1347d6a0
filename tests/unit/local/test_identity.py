"""Development identity."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import jwt
import pytest

from trunkline_local.identity import AUDIENCE, ISSUER, LIFETIME_S, DevIdentity


def _claims(identity: DevIdentity, token: str) -> dict[str, Any]:
    keys = jwt.PyJWKSet.from_dict(json.loads(identity.jwks_path.read_text()))
    key = keys[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(token, key, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER)


def test_token_verifies_against_the_key_set(tmp_path: Path) -> None:
    """A token carries the claims in use, and the published key set alone verifies it."""
    identity = DevIdentity.create(tmp_path / "identity")
    claims = _claims(identity, identity.mint("ann", tenant="acme", roles=["operator", "admin"]))
    assert claims["exp"] - claims["iat"] == LIFETIME_S
    assert {name: claims[name] for name in ("sub", "tenant", "roles")} == {
        "sub": "ann",
        "tenant": "acme",
        "roles": ["admin", "operator"],
    }


def test_service_token_names_the_tenant_it_acts_for(tmp_path: Path) -> None:
    """`act_tenant` goes with the role service and without a tenant of its own."""
    identity = DevIdentity.create(tmp_path)
    claims = _claims(identity, identity.mint("repair", roles=["service"], act_tenant="acme"))
    assert claims["act_tenant"] == "acme"
    assert "tenant" not in claims


def test_a_tenants_own_roles_and_attributes_are_carried(tmp_path: Path) -> None:
    """What a tenant's policy may look at stands in the token as it was given."""
    identity = DevIdentity.create(tmp_path)
    token = identity.mint("ann", tenant="acme", roles=["finance"], attributes={"department": "finance"})
    assert _claims(identity, token)["roles"] == ["finance"]
    assert _claims(identity, token)["attributes"] == {"department": "finance"}


def test_loaded_key_signs_for_the_same_key_set(tmp_path: Path) -> None:
    """Another process that may read the folder can sign tokens for a running stack."""
    identity = DevIdentity.create(tmp_path)
    assert _claims(identity, DevIdentity.load(tmp_path).mint("bob"))["sub"] == "bob"


def test_new_key_makes_old_tokens_invalid(tmp_path: Path) -> None:
    """Each run has a key of its own."""
    token = DevIdentity.create(tmp_path).mint("ann")
    with pytest.raises(KeyError):
        _claims(DevIdentity.create(tmp_path), token)


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Key, key set and tokens have mode 0600, and the key set holds no private part."""
    identity = DevIdentity.create(tmp_path / "identity")
    identity.write_token("operator", identity.mint("op"))
    files = [path for path in identity.folder.rglob("*") if path.is_file()]
    assert len(files) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert '"d"' not in identity.jwks_path.read_text()


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"roles": ["root"]}, id="unknown role"),
        pytest.param({"tenant": "a", "roles": ["operater"]}, id="slip of a known role"),
        pytest.param({"tenant": "a", "roles": ["Finance Team"]}, id="no role's name"),
        pytest.param({"tenant": "a", "attributes": {"Department": "x"}}, id="no attribute's name"),
        pytest.param({"act_tenant": "acme"}, id="acts without the role service"),
        pytest.param({"act_tenant": "a", "tenant": "b", "roles": ["service"]}, id="two tenants"),
        pytest.param({"lifetime_s": 0.0}, id="no lifetime"),
        pytest.param({"lifetime_s": float("inf")}, id="for ever"),
    ],
)
def test_refuses_tokens_that_nobody_should_have(tmp_path: Path, claims: dict[str, Any]) -> None:
    """A mistake in a claim is an error where it is made, not a refusal far away."""
    with pytest.raises(ValueError):
        DevIdentity.create(tmp_path).mint("ann", **claims)
