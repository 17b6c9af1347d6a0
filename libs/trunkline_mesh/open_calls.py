"""How many long calls of a method are open: they hold no slot of the limiter, so they need a bound of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from trunkline_mesh.errors import Overloaded
from trunkline_mesh.request import current_request
from trunkline_mesh.stage import Context, Handler, MethodStages

RETRY_DELAY_S: Final = 1.0
"""Told to who finds no room: long calls end seldom."""


class OpenCalls:
    """Counts the open calls of one method. One event loop owns it."""

    def __init__(self, most: int, most_per_caller: int) -> None:
        """Let at most `most` be open, and `most_per_caller` of one caller; 0 leaves that bound out."""
        self._most: Final = most
        self._most_per_caller: Final = most_per_caller
        self._by_caller: Counter[str] = Counter()
        self._open = 0

    @contextmanager
    def one(self, caller: str) -> Iterator[None]:
        """Hold one open for the context's time; raises Overloaded if that would be one too many."""
        if self._most and self._open >= self._most:
            raise Overloaded("too many such calls are open", retry_delay_s=RETRY_DELAY_S)
        if self._most_per_caller and self._by_caller[caller] >= self._most_per_caller:
            raise Overloaded("too many such calls of one caller are open", retry_delay_s=RETRY_DELAY_S)
        self._open += 1
        self._by_caller[caller] += 1
        try:
            yield
        finally:
            self._open -= 1
            self._by_caller[caller] -= 1
            if not self._by_caller[caller]:
                del self._by_caller[caller]

    def __len__(self) -> int:
        return self._open


def open_calls_stage(method: MethodStages, inner: Handler) -> Handler:
    """Refuse a long call for which there is no room; composed away for methods without such a bound."""
    policy = method.policy
    if policy is None or not (policy.max_open or policy.max_open_per_caller):
        return inner
    calls = OpenCalls(policy.max_open, policy.max_open_per_caller)

    async def counted(request: Any, context: Context) -> Any:
        principal = current_request().principal
        with calls.one("" if principal is None else principal.tenant_id or principal.subject):
            return await inner(request, context)

    return counted
