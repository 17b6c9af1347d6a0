"""Credentials, good and forged."""

from __future__ import annotations

import base64
import hmac
import json
import time
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

ISSUER: Final = "https://issuer.test"
AUDIENCE: Final = "trunkline"
KEY_ID: Final = "test-key"


class Issuer:
    """Signs tokens with one key, whose public half is in a JWKS file."""

    def __init__(self, folder: Path) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(ECAlgorithm.to_jwk(self.key.public_key()))
        self.jwks_path = folder / "jwks.json"
        self.jwks_path.write_text(json.dumps({"keys": [public | {"kid": KEY_ID, "alg": "ES256", "use": "sig"}]}))

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a good token, with changes; None removes a claim."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "tester",
            "tenant": "acme",
            "roles": [],
            "exp": time.time() + 600,
        } | changes
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, **changes: Any) -> str:
        """Sign a token."""
        return jwt.encode(self.claims(**changes), self.key, algorithm="ES256", headers={"kid": KEY_ID})

    def signed_by_another(self) -> str:
        """Sign with a key that is not in the key set, under the id of the one that is."""
        stranger = ec.generate_private_key(ec.SECP256R1())
        return jwt.encode(self.claims(), stranger, algorithm="ES256", headers={"kid": KEY_ID})

    def unsigned(self) -> str:
        """Claim the algorithm `none`."""
        return jwt.encode(self.claims(), None, algorithm="none", headers={"kid": KEY_ID})  # type: ignore[arg-type]  # no key is the point

    def symmetric_with_public_key(self) -> str:
        """Use the public key as an HMAC secret: the classic confusion of algorithms. PyJWT refuses to make it."""
        head = {"alg": "HS256", "typ": "JWT", "kid": KEY_ID}
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in (head, self.claims()))
        pem = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return (signed + b"." + _base64url(hmac.digest(pem, signed, "sha256"))).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
