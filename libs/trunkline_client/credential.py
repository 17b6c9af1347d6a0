"""The caller's token, fixed or renewed by a callable."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Final

from trunkline_client.errors import Unauthenticated
from trunkline_client.failure import Failure

TokenSource = str | Callable[[], str] | Callable[[], Awaitable[str]]

# gRPC drops requests at random once their metadata passes 8 KiB; the rest of the headers needs some of it.
MAX_TOKEN_BYTES: Final = 6144


class Credential:
    """Gives the token for each attempt. A callable is asked every time, so that it can renew what expires."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    @property
    def renewable(self) -> bool:
        """True if a later token may differ from the one before."""
        return not isinstance(self._source, str)

    async def token(self) -> str:
        """Return the token. Raises Unauthenticated if there is none or it cannot be sent."""
        token: str | Awaitable[str] = self._source if isinstance(self._source, str) else self._source()
        if not isinstance(token, str):
            token = await token if inspect.isawaitable(token) else ""
        token = token.strip()
        if not token:
            raise _refused("no token was given")
        if len(token) > MAX_TOKEN_BYTES or not token.isascii() or not token.isprintable():
            raise _refused(f"the token is no JWT or longer than {MAX_TOKEN_BYTES} bytes")
        return token


def _refused(message: str) -> Unauthenticated:
    return Unauthenticated(Failure("CREDENTIAL_MISSING", "UNAUTHENTICATED", message))
