"""Who calls: JWTs verified against a JWKS, and remembered until they expire.

Follows RFC 8725: a fixed list of asymmetric algorithms, issuer and audience required, keys by `kid` from a pinned set.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.request
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import jwt

from trunkline_mesh.errors import BackendUnavailable, CredentialExpired, CredentialInvalid, CredentialMissing
from trunkline_mesh.logs import get_logger
from trunkline_mesh.request import ROLE_SERVICE, Principal

ALGORITHMS: Final = ("EdDSA", "ES256", "RS256")
MAX_TOKEN_BYTES: Final = 4096
"""Larger credentials do not travel safely in gRPC metadata (soft limit 8 KiB for all of it)."""
MAX_JWKS_BYTES: Final = 256 * 1024
REFRESH_EVERY_S: Final = 300.0
"""The key set is read again this often, so that a key that was withdrawn stops working."""
REFRESH_MIN_S: Final = 10.0
"""An unknown key id reads the key set again, but not more often than this: forged ids must cost nothing."""
FETCH_TIMEOUT_S: Final = 5.0
MAX_ATTRIBUTES: Final = 16
"""Attributes of one credential."""
MAX_ATTRIBUTE_CHARS: Final = 64
"""Characters of an attribute's value."""
_ATTRIBUTE: Final = re.compile(r"[a-z0-9-]{1,63}")
_BEARER: Final = "bearer "

log = get_logger("identity")


class JwksKeys:
    """Public keys of a JWKS, by key id, read from a file or an https address."""

    def __init__(self, source: str) -> None:
        """Read nothing yet; call `refresh`."""
        self._source = source
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at_s = float("-inf")
        self._lock = asyncio.Lock()

    def get(self, key_id: str) -> jwt.PyJWK | None:
        """Return the key of that id, if it is known."""
        return self._keys.get(key_id)

    async def refresh(self, *, min_age_s: float = 0.0) -> None:
        """Read the key set unless it was read less than `min_age_s` ago; the last good one stays on failure.

        Raises BackendUnavailable if it cannot be read and none was read before.
        """
        async with self._lock:
            if time.monotonic() - self._read_at_s < min_age_s:
                return
            self._read_at_s = time.monotonic()
            try:
                text = await asyncio.to_thread(_read, self._source)
                keys = jwt.PyJWKSet.from_dict(json.loads(text)).keys
                self._keys = {key.key_id: key for key in keys if key.key_id}
            except (OSError, ValueError, jwt.PyJWTError) as exc:
                log.warning("key set could not be read", error_type=type(exc).__name__)
                if not self._keys:
                    raise BackendUnavailable("the key set cannot be read") from exc

    async def keep_fresh(self) -> None:
        """Read the key set now and then until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_EVERY_S)
            await self.refresh(min_age_s=REFRESH_MIN_S)


def _read(source: str) -> bytes:
    if source.startswith("https://"):
        with urllib.request.urlopen(source, timeout=FETCH_TIMEOUT_S) as response:  # noqa: S310 - scheme checked above
            body: bytes = response.read(MAX_JWKS_BYTES)
            return body
    return Path(source).read_bytes()[:MAX_JWKS_BYTES]


class TokenVerifier:
    """Verifies credentials and remembers those that were good, up to a bound and until they expire."""

    def __init__(
        self,
        keys: JwksKeys,
        *,
        issuer: str,
        audience: str,
        leeway_s: float = 30.0,
        cache_size: int = 4096,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Verify for one issuer and audience."""
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._leeway_s = leeway_s
        self._cache_size = cache_size
        self._now = now
        self._verified: OrderedDict[str, Principal] = OrderedDict()

    def remembered(self, authorization: str) -> Principal | None:
        """Return the caller of a header that was verified before and has not expired. No I/O, a microsecond."""
        principal = self._verified.get(authorization)
        if principal is None:
            return None
        if principal.expires_at_s + self._leeway_s <= self._now():
            del self._verified[authorization]
            return None
        return principal

    async def verify(self, authorization: str | None) -> Principal:
        """Return the caller that an `authorization` header names.

        Raises CredentialMissing, CredentialInvalid or CredentialExpired.
        """
        if not authorization:
            raise CredentialMissing
        principal = self.remembered(authorization)
        if principal is not None:
            return principal
        if authorization[: len(_BEARER)].lower() != _BEARER or len(authorization) > MAX_TOKEN_BYTES:
            raise CredentialInvalid
        token = authorization[len(_BEARER) :]
        claims = self._decode(token, await self._key_of(token))
        principal = _principal(claims, token)
        self._verified[authorization] = principal
        while len(self._verified) > self._cache_size:
            self._verified.popitem(last=False)
        return principal

    async def _key_of(self, token: str) -> jwt.PyJWK:
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
        except jwt.PyJWTError as exc:
            raise CredentialInvalid from exc
        if not isinstance(key_id, str):
            raise CredentialInvalid
        key = self._keys.get(key_id)
        if key is None:
            await self._keys.refresh(min_age_s=REFRESH_MIN_S)
            key = self._keys.get(key_id)
        if key is None:
            raise CredentialInvalid
        return key

    def _decode(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway_s,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError as exc:
            raise CredentialExpired from exc
        except (jwt.PyJWTError, ValueError, OverflowError) as exc:  # the latter for an expiry of 1e999
            raise CredentialInvalid from exc


def _principal(claims: dict[str, Any], token: str) -> Principal:
    roles = claims.get("roles", [])
    tenant = claims.get("tenant")
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise CredentialInvalid
    if ROLE_SERVICE in roles:
        tenant = claims.get("act_tenant", tenant)
    if tenant is not None and not isinstance(tenant, str):
        raise CredentialInvalid
    return Principal(
        subject=str(claims["sub"]),
        tenant_id=tenant or None,
        roles=frozenset(roles),
        token=token,
        expires_at_s=float(claims["exp"]),
        attributes=attributes_of(claims.get("attributes", {})),
    )


def attributes_of(claim: object) -> Mapping[str, str]:
    """Return the attributes of a credential's claim; raise CredentialInvalid unless it is an object of short texts.

    At most 16, named by 1 to 63 of `[a-z0-9-]`, each of at most 64 characters. One that is out of bounds makes the
    whole credential invalid: rules that look at attributes must never be met, or missed, by a part of them.
    """
    if not isinstance(claim, dict) or len(claim) > MAX_ATTRIBUTES:
        raise CredentialInvalid
    for name, value in claim.items():
        if not _ATTRIBUTE.fullmatch(name) or not isinstance(value, str) or len(value) > MAX_ATTRIBUTE_CHARS:
            raise CredentialInvalid
    return MappingProxyType(claim)


class ServiceToken:
    """This process's own credential, read from a file and read again when the file changes."""

    def __init__(self, path: Path) -> None:
        """Remember where it lies."""
        self._path = path
        self._mtime_ns = -1
        self._header = ""

    def header(self) -> str:
        """Return the `authorization` value; raise CredentialMissing if the file cannot be read."""
        try:
            mtime_ns = self._path.stat().st_mtime_ns
            if mtime_ns != self._mtime_ns:
                self._header = "Bearer " + self._path.read_text(encoding="ascii").strip()
                self._mtime_ns = mtime_ns
        except (OSError, UnicodeDecodeError) as exc:
            raise CredentialMissing("the service's own credential cannot be read") from exc
        return self._header
