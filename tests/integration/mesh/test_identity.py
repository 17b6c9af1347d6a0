"""Who may call: every method of every shape, and every way a credential can be wrong."""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc
import pytest
from tests.integration.mesh.conftest import Serve
from tests.integration.mesh.credentials import Issuer
from tests.integration.mesh.probe import METHODS, SHAPES

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
LIST_SERVICES = b"\x3a\x01*"


def forged(issuer: Issuer, kind: str) -> str:
    """Return a credential that must not be accepted."""
    makers: dict[str, Callable[[], str]] = {
        "expired": lambda: issuer.token(exp=time.time() - 3600),
        "another key": issuer.signed_by_another,
        "algorithm none": issuer.unsigned,
        "public key as secret": issuer.symmetric_with_public_key,
        "another audience": lambda: issuer.token(aud="elsewhere"),
        "no audience": lambda: issuer.token(aud=None),
        "another issuer": lambda: issuer.token(iss="https://evil.test"),
        "no expiry": lambda: issuer.token(exp=None),
        "no subject": lambda: issuer.token(sub=None),
        "not yet valid": lambda: issuer.token(nbf=time.time() + 3600),
        "roles are text": lambda: issuer.token(roles="operator"),
        "tenant is a list": lambda: issuer.token(tenant=["acme", "globex"]),
        "no token at all": lambda: "abc.def.ghi",
        "longer than a header may be": lambda: issuer.token(padding="x" * 5000),
    }
    return makers[kind]()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("expired", "CREDENTIAL_EXPIRED"),
        ("another key", "CREDENTIAL_INVALID"),
        ("algorithm none", "CREDENTIAL_INVALID"),
        ("public key as secret", "CREDENTIAL_INVALID"),
        ("another audience", "CREDENTIAL_INVALID"),
        ("no audience", "CREDENTIAL_INVALID"),
        ("another issuer", "CREDENTIAL_INVALID"),
        ("no expiry", "CREDENTIAL_INVALID"),
        ("no subject", "CREDENTIAL_INVALID"),
        ("not yet valid", "CREDENTIAL_INVALID"),
        ("roles are text", "CREDENTIAL_INVALID"),
        ("tenant is a list", "CREDENTIAL_INVALID"),
        ("no token at all", "CREDENTIAL_INVALID"),
        ("longer than a header may be", "CREDENTIAL_INVALID"),
    ],
)
async def test_wrong_credentials_open_no_method(serve: Serve, issuer: Issuer, kind: str, reason: str) -> None:
    """Whatever the method's shape and policy: UNAUTHENTICATED, and no handler runs."""
    ours = await serve()
    for method in METHODS:
        answer = await ours.caller.call(shape=method, token=forged(issuer, kind))
        assert (answer.code, answer.reason) == (UNAUTHENTICATED, reason)
    assert ours.servicer.began == []


async def test_without_a_credential_no_method_answers(serve: Serve) -> None:
    """Also not those that no policy lists."""
    ours = await serve()
    ours.caller.token = None
    answers = [await ours.caller.call(shape=method) for method in METHODS]
    assert {(answer.code, answer.reason) for answer in answers} == {(UNAUTHENTICATED, "CREDENTIAL_MISSING")}
    assert ours.servicer.began == []


async def test_a_method_that_no_policy_lists_is_denied(serve: Serve, issuer: Issuer) -> None:
    """Even to an operator; a forgotten line denies instead of opening."""
    ours = await serve()
    token = issuer.token(roles=["operator", "admin", "service"])
    answer = await ours.caller.call(shape="Unlisted", token=token)
    assert (answer.code, answer.reason) == (grpc.StatusCode.PERMISSION_DENIED, "METHOD_NOT_ALLOWED")
    assert ours.servicer.began == []


@pytest.mark.parametrize("method", ["Operate", "Serve"])
async def test_roles_are_asked(serve: Serve, issuer: Issuer, method: str) -> None:
    """A tenant's credential does not open what is for operators or services."""
    ours = await serve()
    role = {"Operate": "operator", "Serve": "service"}[method]
    denied = await ours.caller.call(shape=method, token=issuer.token())
    assert denied.reason == "METHOD_NOT_ALLOWED"
    assert (await ours.caller.call(shape=method, token=issuer.token(roles=[role]))).code is grpc.StatusCode.OK


async def test_a_credential_without_tenant_opens_no_tenants_method(serve: Serve, issuer: Issuer) -> None:
    """Nor does one whose tenant is empty: an empty name must never mean everybody."""
    ours = await serve()
    for tenant in (None, ""):
        answer = await ours.caller.call(token=issuer.token(tenant=tenant))
        assert answer.reason == "METHOD_NOT_ALLOWED"


async def test_a_good_credential_opens_every_shape(serve: Serve) -> None:
    """The refusals above are not because nothing works."""
    ours = await serve()
    for shape in SHAPES:
        answer = await ours.caller.call("hello", shape=shape)
        assert (answer.code, answer.text) == (grpc.StatusCode.OK, "hello")


async def test_a_remembered_credential_still_expires(serve: Serve, issuer: Issuer) -> None:
    """The cache of verified credentials is no way around their expiry."""
    ours = await serve(clock_leeway_s=0.0)
    token = issuer.token(exp=time.time() + 1.0)
    assert (await ours.caller.call(token=token)).code is grpc.StatusCode.OK
    answer = await ours.caller.call(token=token)
    while answer.code is grpc.StatusCode.OK:
        answer = await ours.caller.call(token=token)
    assert answer.reason == "CREDENTIAL_EXPIRED"


async def test_reflection_is_off_by_default(serve: Serve, issuer: Issuer) -> None:
    """It gives the whole schema away: unless switched on, nobody is even told that it exists."""
    off = await serve()
    answer = await off.caller.call(
        shape="Bidi", path=REFLECTION, raw=LIST_SERVICES, token=issuer.token(roles=["operator"])
    )
    assert answer.code is grpc.StatusCode.UNIMPLEMENTED


async def test_reflection_is_for_operators_where_it_is_on(serve: Serve, issuer: Issuer) -> None:
    """And goes through the same stages as every other streaming method."""
    on = await serve(reflection=True)
    for roles, code in (([], grpc.StatusCode.PERMISSION_DENIED), (["operator"], grpc.StatusCode.OK)):
        token = issuer.token(roles=roles)
        answer = await on.caller.call(shape="Bidi", path=REFLECTION, raw=LIST_SERVICES, token=token)
        assert answer.code is code
