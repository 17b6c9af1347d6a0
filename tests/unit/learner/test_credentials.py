"""Credentials that a learner signs for tenants."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from trunkline_local.identity import AUDIENCE, ISSUER, DevIdentity
from trunkline_mesh.errors import CredentialMissing
from trunkline_mesh.identity import JwksKeys, TokenVerifier
from trunkline_routing.learner.credentials import LIFETIME_S, ActingCredentials, is_learner


def _credentials(identity: DevIdentity, now_s: list[float]) -> ActingCredentials:
    key_path = identity.folder / "signing-key.pem"
    return ActingCredentials(
        key_path, identity.key_id, region_id="eu-west", issuer=ISSUER, audience=AUDIENCE, now=lambda: now_s[0]
    )


async def test_services_take_a_learner_for_a_service_that_acts_for_the_tenant(tmp_path: Path) -> None:
    """And for nothing more: no operator, no admin."""
    identity = DevIdentity.create(tmp_path)
    [(_, header)] = _credentials(identity, [time.time()]).of("acme")
    keys = JwksKeys(str(identity.jwks_path))
    principal = await TokenVerifier(keys, issuer=ISSUER, audience=AUDIENCE).verify(header)

    assert principal.tenant_id == "acme"
    assert principal.roles == {"service"}
    assert is_learner(principal.subject)


def test_credentials_are_kept_until_they_run_out(tmp_path: Path) -> None:
    """One for each tenant."""
    now_s = [1_000_000.0]
    credentials = _credentials(DevIdentity.create(tmp_path), now_s)
    first = credentials.of("acme")
    assert credentials.of("acme") is first
    assert credentials.of("bolt") != first
    now_s[0] += LIFETIME_S
    assert credentials.of("acme") != first


@pytest.mark.parametrize("content", [None, b"", b"no key"])
def test_without_its_key_a_learner_calls_nobody(tmp_path: Path, content: bytes | None) -> None:
    """It says so in the contract's words."""
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    credentials = ActingCredentials(path, "k", region_id="eu", issuer="i", audience="a")
    with pytest.raises(CredentialMissing):
        credentials.of("acme")


def test_persons_are_no_learners() -> None:
    """Whatever they call themselves, but for the learner's own subject."""
    assert not is_learner("ada")
    assert not is_learner("trunkline-learners")
