"""Changes of single entries by read-modify-write, made again upon what another one wrote meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from google.protobuf.message import Message

from trunkline_client import Conflict, Versioned

MAX_TRIES: Final = 4
"""Each time, one of those who change the entry at once wins."""

MessageT = TypeVar("MessageT", bound=Message)


@dataclass(frozen=True, slots=True)
class Made(Generic[MessageT]):
    """A change that was made, or would be in a dry run."""

    before: MessageT | None
    after: Versioned[MessageT]


async def rewrite(
    read: Callable[[], Awaitable[Versioned[MessageT]]],
    change: Callable[[MessageT], MessageT],
    put: Callable[[MessageT], Awaitable[Versioned[MessageT]]],
) -> Made[MessageT]:
    """Write what `change` makes of what `read` returns; an entry that it leaves as it is is not written.

    Raises TrunklineError.
    """
    for tries_left in range(MAX_TRIES - 1, -1, -1):
        found = await read()
        wanted = change(found.value)
        if wanted == found.value:
            return Made(found.value, found)
        try:
            return Made(found.value, await put(wanted))
        except Conflict as exc:
            if exc.reason != "REVISION_CONFLICT" or not tries_left:
                raise
    raise AssertionError("the last try returns or raises")
