"""Identity for development: a key pair made afresh for each run, and the tokens that it signs.

Production verifies tokens of a real issuer; services only ever see the public half (`jwks.json`). Whoever can read the
run directory can sign tokens, so everything in it is for its owner alone.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from trunkline_local.files import write_private
from trunkline_mesh.errors import CredentialInvalid
from trunkline_mesh.identity import MAX_ATTRIBUTE_CHARS, MAX_ATTRIBUTES, attributes_of

ISSUER: Final = "trunkline-local"
AUDIENCE: Final = "trunkline"
ALGORITHM: Final = "ES256"
"""Every verifier knows it, Envoy and Istio included."""
LIFETIME_S: Final = 12 * 3600.0
"""How long a development token is valid: a working day. Use minutes in production."""
MAX_LIFETIME_S: Final = 7 * 24 * 3600.0
ROLES: Final = frozenset({"operator", "admin", "service"})
"""The roles that Trunkline itself looks at."""
_ROLE: Final = re.compile(r"[a-z0-9-]{1,64}")
_KEY_FILE: Final = "signing-key.pem"
_JWKS_FILE: Final = "jwks.json"


@dataclass(frozen=True)
class DevIdentity:
    """A signing key and the files that belong to it."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    key_id: str

    @classmethod
    def create(cls, folder: Path) -> DevIdentity:
        """Make a fresh key pair; write it and its JWKS to `folder`, both mode 0600. Older tokens become invalid."""
        key = ec.generate_private_key(ec.SECP256R1())
        identity = cls(folder, key, _key_id(key))
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_private(folder / _KEY_FILE, pem)
        write_private(identity.jwks_path, json.dumps(identity.jwks(), indent=2).encode())
        return identity

    @classmethod
    def load(cls, folder: Path) -> DevIdentity:
        """Read the key pair of a run that goes on. Raises OSError or ValueError if there is none."""
        key = serialization.load_pem_private_key((folder / _KEY_FILE).read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{folder / _KEY_FILE} is no key of ours")  # noqa: TRY004 - the file's content is at fault
        return cls(folder, key, _key_id(key))

    @property
    def jwks_path(self) -> Path:
        """File with the public key, for services."""
        return self.folder / _JWKS_FILE

    def jwks(self) -> dict[str, Any]:
        """Return the public key as a JSON web key set."""
        public = json.loads(ECAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [public | {"kid": self.key_id, "alg": ALGORITHM, "use": "sig"}]}

    def mint(
        self,
        subject: str,
        *,
        tenant: str | None = None,
        roles: Iterable[str] = (),
        act_tenant: str | None = None,
        attributes: Mapping[str, str] = MappingProxyType({}),
        lifetime_s: float = LIFETIME_S,
        now: Callable[[], float] = time.time,
    ) -> str:
        """Return a signed token for `subject`.

        `tenant` is whose data it may see, `roles` are of `ROLES`, or the tenant's own, which its policy may look at, as
        at the `attributes`; `act_tenant` names the tenant that a service acts for. Raises ValueError for a role that is
        none (see `check_roles`), attributes that services would refuse, `act_tenant` without the role `service`, both
        tenants at once, or a lifetime that is not above 0 and at most 7 days.
        """
        roles = sorted(set(roles))
        check_roles(roles, tenant=tenant)
        check_attributes(attributes)
        if act_tenant is not None and ("service" not in roles or tenant is not None):
            raise ValueError("act_tenant is for tokens of the role service, which have no tenant of their own")
        if not 0 < lifetime_s <= MAX_LIFETIME_S:
            raise ValueError(f"lifetime_s must be above 0 and at most {MAX_LIFETIME_S:g}")
        issued_at_s = int(now())
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "iat": issued_at_s,
            "exp": issued_at_s + int(lifetime_s),
            "roles": roles,
        }
        claims |= {name: value for name, value in (("tenant", tenant), ("act_tenant", act_tenant)) if value is not None}
        if attributes:
            claims["attributes"] = dict(attributes)
        return jwt.encode(claims, self.key, algorithm=ALGORITHM, headers={"kid": self.key_id})

    def write_token(self, name: str, token: str) -> Path:
        """Write a token to `tokens/{name}.jwt` beside the key, mode 0600, in one step, and return the path."""
        path = self.token_path(name)
        write_private(path, token.encode())
        return path

    def token_path(self, name: str) -> Path:
        """Return where `write_token` puts a token."""
        return self.folder / "tokens" / f"{name}.jwt"


def check_roles(roles: Iterable[str], *, tenant: str | None) -> None:
    """Raise ValueError for a role that Trunkline does not know, unless it may be a tenant's own.

    Those are 1 to 64 of `[a-z0-9-]`, only in tokens of a tenant, and not so near to a known one that it may be a slip.
    """
    for role in roles:
        if role in ROLES:
            continue
        if tenant is None or not _ROLE.fullmatch(role):
            raise ValueError(f"no such roles: {role}")
        if meant := get_close_matches(role, sorted(ROLES), n=1, cutoff=0.75):
            raise ValueError(f"no such roles: {role}; is {meant[0]} meant?")


def check_attributes(attributes: Mapping[str, str]) -> None:
    """Raise ValueError unless services would take the attributes."""
    try:
        attributes_of(dict(attributes))
    except CredentialInvalid as exc:
        raise ValueError(
            f"attributes are at most {MAX_ATTRIBUTES}, named by 1 to 63 of [a-z0-9-], "
            f"each of at most {MAX_ATTRIBUTE_CHARS} characters"
        ) from exc


def _key_id(key: ec.EllipticCurvePrivateKey) -> str:
    """Derive it from the public key, so that it never names two keys."""
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "dev-" + hashlib.sha256(der).hexdigest()[:16]
