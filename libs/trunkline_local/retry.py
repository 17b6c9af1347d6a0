"""Starting again on other ports, when somebody else was faster to take one, or the program crashed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from trunkline_local.errors import ChildCrashedError, PortTakenError
from trunkline_local.host import ProcessHost

ATTEMPTS: Final = 3

T = TypeVar("T")


async def on_free_ports(host: ProcessHost, attempt: Callable[[int], Awaitable[T]]) -> T:
    """Run `attempt` (given its number, from 1) up to three times.

    It is tried again while it fails with PortTakenError or ChildCrashedError; a failed attempt's children are killed.
    The last error is raised, and every other error at once.
    """
    for number in range(1, ATTEMPTS):
        before = host.children
        try:
            return await attempt(number)
        except (PortTakenError, ChildCrashedError):
            for child in host.children:
                if child not in before:
                    child.kill()
                    await child.wait()
    return await attempt(ATTEMPTS)
