"""The learner's credentials: it works without a caller, and so signs short-lived tokens that name a tenant.

A token of the role `service` with the claim `act_tenant` may do for that tenant what services may, and nothing for
others. The key is the learner's own: services verify it by its public half in the key set that they read anyway.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from trunkline_mesh.calls import Metadata
from trunkline_mesh.errors import CredentialMissing
from trunkline_mesh.request import AUTHORIZATION_KEY, ROLE_SERVICE

SUBJECT: Final = "trunkline-learner"
"""Subjects of learners are `trunkline-learner@REGION`; the history and rollouts name them as their actor."""
LIFETIME_S: Final = 600.0
RENEW_BEFORE_S: Final = 120.0
MAX_TOKENS: Final = 1024
_ALGORITHM: Final = "ES256"


def is_learner(actor: str) -> bool:
    """Return True if a change was made by a learner, of whatever region."""
    return actor.startswith(f"{SUBJECT}@")


class ActingCredentials:
    """Credentials for tenants, signed when needed and kept until shortly before they expire."""

    def __init__(
        self,
        key_path: Path | None,
        key_id: str,
        *,
        region_id: str,
        issuer: str,
        audience: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Read the key when it is first needed: a learner without one can still tell that it is not ready."""
        self._key_path = key_path
        self._key_id = key_id
        self._claims = {
            "iss": issuer,
            "aud": audience,
            "sub": f"{SUBJECT}@{region_id}",
            "roles": [ROLE_SERVICE],
        }
        self._now = now
        self._key: ec.EllipticCurvePrivateKey | None = None
        self._tokens: OrderedDict[str, tuple[float, Metadata]] = OrderedDict()

    def of(self, tenant_id: str) -> Metadata:
        """Return the metadata of a call for the tenant. Raises CredentialMissing if the key cannot be read."""
        now_s = self._now()
        expires_at_s, metadata = self._tokens.get(tenant_id, (0.0, ()))
        if expires_at_s - RENEW_BEFORE_S > now_s:
            return metadata
        claims = self._claims | {"act_tenant": tenant_id, "iat": int(now_s), "exp": int(now_s + LIFETIME_S)}
        token = jwt.encode(claims, self._signing_key(), algorithm=_ALGORITHM, headers={"kid": self._key_id})
        metadata = ((AUTHORIZATION_KEY, f"Bearer {token}"),)
        self._tokens[tenant_id] = (now_s + LIFETIME_S, metadata)
        self._tokens.move_to_end(tenant_id)
        while len(self._tokens) > MAX_TOKENS:
            self._tokens.popitem(last=False)
        return metadata

    def _signing_key(self) -> ec.EllipticCurvePrivateKey:
        if self._key is None:
            self._key = _read_key(self._key_path)
        return self._key


def _read_key(path: Path | None) -> ec.EllipticCurvePrivateKey:
    if path is None:
        raise CredentialMissing("the learner has no key to act for tenants")
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as exc:
        raise CredentialMissing("the learner's key cannot be read") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CredentialMissing("the learner's key is of another kind")
    return key
