"""Who calls: what makes a credential good, and how long a good one is remembered."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from trunkline_local.identity import AUDIENCE, ISSUER, DevIdentity
from trunkline_mesh import identity as mesh_identity
from trunkline_mesh.errors import (
    BackendUnavailable,
    CredentialExpired,
    CredentialInvalid,
    CredentialMissing,
    DomainError,
)
from trunkline_mesh.identity import MAX_TOKEN_BYTES, JwksKeys, ServiceToken, TokenVerifier


class Issuer:
    """Signs whatever a test wants with the key that the verifier knows."""

    def __init__(self, folder: Path) -> None:
        self.identity = DevIdentity.create(folder)
        self.now_s = time.time()

    def token(self, *, key: Any = None, algorithm: str = "ES256", kid: Any = "", **changes: Any) -> str:
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "someone", "tenant": "acme", "exp": self.now_s + 600} | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        headers = None if kid is None else {"kid": kid or self.identity.key_id}
        return jwt.encode(claims, key or self.identity.key, algorithm=algorithm, headers=headers)

    def public_pem(self) -> bytes:
        return self.identity.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("issuer"))


@pytest.fixture
async def verifier(issuer: Issuer) -> TokenVerifier:
    return await verifier_of(issuer)


async def verifier_of(issuer: Issuer, **options: Any) -> TokenVerifier:
    keys = JwksKeys(str(issuer.identity.jwks_path))
    await keys.refresh()
    return TokenVerifier(keys, issuer=ISSUER, audience=AUDIENCE, **options)


def segment(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def hmac_with_public_key(issuer: Issuer) -> str:
    """The classic confusion of algorithms; made by hand, because PyJWT refuses to sign it."""
    head = segment({"alg": "HS256", "typ": "JWT", "kid": issuer.identity.key_id})
    body = segment({"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "tenant": "acme", "exp": issuer.now_s + 600})
    mac = hmac.new(issuer.public_pem(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def unsigned(issuer: Issuer) -> str:
    head = segment({"alg": "none", "typ": "JWT", "kid": issuer.identity.key_id})
    body = segment({"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "tenant": "acme", "exp": issuer.now_s + 600})
    return f"{head}.{body}."


def nested_header(_issuer: Issuer) -> str:
    """A header that overflows a recursive parser, and still fits into the bound of a credential."""
    head = segment('{"alg":"ES256","kid":' + "[" * 1400 + "]" * 1400 + "}")
    return f"{head}.{segment({})}.{segment('x')}"


BAD: dict[str, tuple[Callable[[Issuer], str], type[DomainError]]] = {
    "expired": (lambda i: i.token(exp=i.now_s - 3600), CredentialExpired),
    "foreign issuer": (lambda i: i.token(iss="https://evil.example"), CredentialInvalid),
    "wrong audience": (lambda i: i.token(aud="elsewhere"), CredentialInvalid),
    "audience list without ours": (lambda i: i.token(aud=["a", "b"]), CredentialInvalid),
    "no audience": (lambda i: i.token(aud=None), CredentialInvalid),
    "no issuer": (lambda i: i.token(iss=None), CredentialInvalid),
    "no subject": (lambda i: i.token(sub=None), CredentialInvalid),
    "no expiry": (lambda i: i.token(exp=None), CredentialInvalid),
    "expiry is text": (lambda i: i.token(exp="tomorrow"), CredentialInvalid),
    "endless expiry": (lambda i: i.token(exp=float("inf")), CredentialInvalid),
    "not yet valid": (lambda i: i.token(nbf=i.now_s + 3600), CredentialInvalid),
    "algorithm none": (unsigned, CredentialInvalid),
    "HS256 with the public key": (hmac_with_public_key, CredentialInvalid),
    "another key under our id": (lambda i: i.token(key=ec.generate_private_key(ec.SECP256R1())), CredentialInvalid),
    "unknown key id": (lambda i: i.token(kid="who"), CredentialInvalid),
    "no key id": (lambda i: i.token(kid=None), CredentialInvalid),
    "roles are no list": (lambda i: i.token(roles="operator"), CredentialInvalid),
    "roles of numbers": (lambda i: i.token(roles=[1]), CredentialInvalid),
    "tenant is a list": (lambda i: i.token(tenant=["acme"]), CredentialInvalid),
    "deeply nested header": (nested_header, CredentialInvalid),
    "garbage": (lambda _: "abc.def.ghi", CredentialInvalid),
    "empty": (lambda _: "", CredentialInvalid),
    "oversized": (lambda i: i.token(padding="x" * MAX_TOKEN_BYTES), CredentialInvalid),
}


@pytest.mark.parametrize("kind", BAD)
async def test_bad_credentials_are_refused(issuer: Issuer, verifier: TokenVerifier, kind: str) -> None:
    """By a reason of the contract, never by another exception, and nothing is remembered of them."""
    make, error = BAD[kind]
    header = f"Bearer {make(issuer)}"
    for _ in range(2):
        with pytest.raises(error):
            await verifier.verify(header)
    assert verifier.remembered(header) is None


@pytest.mark.parametrize("header", [None, ""])
async def test_no_credential_is_told_apart_from_a_bad_one(verifier: TokenVerifier, header: str | None) -> None:
    """The caller forgot it."""
    with pytest.raises(CredentialMissing):
        await verifier.verify(header)


@pytest.mark.parametrize("scheme", ["Basic ", "", "Bearer", "Bearer  "])
async def test_only_bearer_tokens_are_credentials(issuer: Issuer, verifier: TokenVerifier, scheme: str) -> None:
    """Another scheme is not tried as a token."""
    with pytest.raises(CredentialInvalid):
        await verifier.verify(scheme + issuer.token())


async def test_a_good_credential_names_its_caller(issuer: Issuer, verifier: TokenVerifier) -> None:
    """Subject, tenant, roles and expiry come from its claims; the scheme's case does not matter."""
    token = issuer.token(roles=["admin"])
    principal = await verifier.verify(f"bearer {token}")
    assert (principal.subject, principal.tenant_id, principal.roles) == ("someone", "acme", frozenset({"admin"}))
    assert (principal.token, principal.expires_at_s) == (token, issuer.now_s + 600)
    assert token not in repr(principal)


@pytest.mark.parametrize(
    ("claims", "tenant"),
    [
        ({"roles": ["service"], "tenant": None, "act_tenant": "globex"}, "globex"),
        ({"roles": ["service"], "tenant": None}, None),
        ({"roles": [], "act_tenant": "globex"}, "acme"),
        ({"roles": ["admin", "operator"], "act_tenant": "globex"}, "acme"),
        ({"roles": ["operator"], "tenant": None, "act_tenant": "globex"}, None),
        ({"tenant": ""}, None),
    ],
)
async def test_acting_for_a_tenant_is_for_services(
    issuer: Issuer, verifier: TokenVerifier, claims: dict[str, Any], tenant: str | None
) -> None:
    """`act_tenant` in anybody else's credential means nothing, and an empty name names nobody."""
    assert (await verifier.verify(f"Bearer {issuer.token(**claims)}")).tenant_id == tenant


async def test_a_remembered_credential_expires(issuer: Issuer) -> None:
    """To the second, by the verifier's own clock, leeway included."""
    clock = {"now_s": issuer.now_s}
    verifier = await verifier_of(issuer, leeway_s=30.0, now=lambda: clock["now_s"])
    header = f"Bearer {issuer.token()}"
    await verifier.verify(header)
    clock["now_s"] = issuer.now_s + 629
    assert verifier.remembered(header) is not None
    clock["now_s"] = issuer.now_s + 630
    assert verifier.remembered(header) is None


async def test_the_memory_is_bounded(issuer: Issuer) -> None:
    """The oldest go first; a flood of good credentials costs no more than that."""
    verifier = await verifier_of(issuer, cache_size=3)
    headers = [f"Bearer {issuer.token(sub=f'user-{number}')}" for number in range(5)]
    for header in headers:
        await verifier.verify(header)
    assert [verifier.remembered(header) is not None for header in headers] == [False, False, True, True, True]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count how often a key set is read."""
    seen: list[str] = []
    read = mesh_identity._read

    def counted(source: str) -> bytes:
        seen.append(source)
        return read(source)

    monkeypatch.setattr(mesh_identity, "_read", counted)
    return seen


async def test_forged_key_ids_do_not_make_us_read(issuer: Issuer, reads: list[str]) -> None:
    """An unknown id reads the key set again, but a thousand of them do not read it a thousand times."""
    verifier = await verifier_of(issuer)
    for number in range(20):
        with pytest.raises(CredentialInvalid):
            await verifier.verify(f"Bearer {issuer.token(kid=f'forged-{number}')}")
    assert len(reads) == 1


async def test_keys_are_replaced_and_withdrawn(tmp_path: Path) -> None:
    """A refresh takes the set as it is now; one that cannot be read leaves the last good one."""
    first = Issuer(tmp_path)
    keys = JwksKeys(str(first.identity.jwks_path))
    await keys.refresh()
    second = Issuer(tmp_path)
    await keys.refresh()
    assert keys.get(first.identity.key_id) is None
    assert keys.get(second.identity.key_id) is not None
    for content in ("no json", '{"keys": []}', "{}"):
        second.identity.jwks_path.write_text(content)
        await keys.refresh()
        assert keys.get(second.identity.key_id) is not None


async def test_a_first_read_that_fails_is_told(tmp_path: Path) -> None:
    """Without keys nothing can be verified, so the process must not start."""
    with pytest.raises(BackendUnavailable):
        await JwksKeys(str(tmp_path / "none.json")).refresh()


def test_a_services_own_token_follows_its_file(tmp_path: Path) -> None:
    """It is renewed in place while the service runs."""
    path = tmp_path / "token"
    token = ServiceToken(path)
    with pytest.raises(CredentialMissing):
        token.header()
    path.write_text("first\n")
    assert token.header() == "Bearer first"
    path.write_text("second\n")
    os.utime(path, ns=(1, 1))
    assert token.header() == "Bearer second"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CredentialMissing):
        token.header()


async def test_attributes_come_with_the_credential(issuer: Issuer, verifier: TokenVerifier) -> None:
    """What the credential says of its holder is there for policies; without the claim there is nothing."""
    told = await verifier.verify("Bearer " + issuer.token(attributes={"department": "finance"}))
    plain = await verifier.verify("Bearer " + issuer.token())
    assert dict(told.attributes) == {"department": "finance"}
    assert not plain.attributes


@pytest.mark.parametrize(
    "claim",
    [
        pytest.param(["department"], id="a list"),
        pytest.param("department", id="a text"),
        pytest.param({"department": 7}, id="a number"),
        pytest.param({"department": ["finance"]}, id="nested"),
        pytest.param({"Department": "finance"}, id="a name of other characters"),
        pytest.param({"": "finance"}, id="no name"),
        pytest.param({"a" * 64: "finance"}, id="a long name"),
        pytest.param({"department": "x" * 65}, id="a long value"),
        pytest.param({f"a{number}": "x" for number in range(17)}, id="too many"),
    ],
)
async def test_attributes_out_of_bounds_make_a_credential_invalid(
    issuer: Issuer, verifier: TokenVerifier, claim: Any
) -> None:
    """A rule must never be met or missed by a part of what a credential says, so the whole of it is refused."""
    with pytest.raises(CredentialInvalid):
        await verifier.verify("Bearer " + issuer.token(attributes=claim))
