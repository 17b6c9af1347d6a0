"""What the parts of the control client share: single calls, paged lists, how a change is made, and what is returned."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline_client.errors import NotFound
from trunkline_client.methods import Method, RequestT, ResponseT
from trunkline_client.session import Session

EntryT = TypeVar("EntryT", covariant=True)
ReadT = TypeVar("ReadT")
ItemT = TypeVar("ItemT")

PAGE_SIZE: Final = 500
"""Entries in one page of a list; the contract's most."""

READ_DEADLINE_S: Final = 5.0
CHANGE_DEADLINE_S: Final = 10.0
"""A change may have to look at every collection; the contract's cap."""

_MAX_PAGES: Final = 1000


@dataclass(frozen=True, slots=True)
class Versioned(Generic[EntryT]):
    """An entry, or several, and the token of the state of the map in which they stand."""

    value: EntryT
    map_token: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HowToChange:
    """How a change is to be made."""

    dry_run: bool = False
    """True to have everything checked and nothing changed."""
    comment: str = ""
    """Why, for the history; at most 256 bytes of UTF-8."""
    approval_id: str = ""
    """The approval that another operator gave for this very change."""
    urgent: bool = False
    """True to make the change although an error budget is nearly spent; the history tells it."""

    def to_proto(self) -> changes_pb.ChangeOptions:
        """Return the contract's message."""
        return changes_pb.ChangeOptions(
            dry_run=self.dry_run, comment=self.comment, approval_id=self.approval_id, urgent=self.urgent
        )


PLAINLY: Final = HowToChange()
"""At once, without a comment."""


class _Page(Protocol):
    @property
    def next_page_token(self) -> str: ...
    @property
    def map_token(self) -> bytes: ...


class _ChangesPage(Protocol):
    @property
    def next_page_token(self) -> str: ...
    @property
    def changes(self) -> Sequence[changes_pb.MapChange]: ...


PageT = TypeVar("PageT", bound=_Page)
ChangesPageT = TypeVar("ChangesPageT", bound=_ChangesPage)


class ControlSession(Session):
    """Base of the control client's parts."""

    async def _ask(self, method: Method[RequestT, ResponseT], request: RequestT) -> ResponseT:
        return (await self._call(method, request, READ_DEADLINE_S)).response

    async def _change(self, method: Method[RequestT, ResponseT], request: RequestT) -> ResponseT:
        return (await self._call(method, request, CHANGE_DEADLINE_S)).response


async def if_known(reading: Awaitable[Versioned[ReadT]]) -> Versioned[ReadT] | None:
    """Return what is read, or None if the map has no such entry. Raises every other TrunklineError."""
    try:
        return await reading
    except NotFound:
        return None


async def all_pages(
    ask: Callable[[str], Awaitable[PageT]], entries: Callable[[PageT], Sequence[ItemT]]
) -> Versioned[Sequence[ItemT]]:
    """Read every page, all at one revision; at most 500,000 entries."""
    found: list[ItemT] = []
    page_token = ""
    for _ in range(_MAX_PAGES):
        page = await ask(page_token)
        found += entries(page)
        page_token = page.next_page_token
        if not page_token:
            break
    return Versioned(tuple(found), page.map_token)


async def latest_changes(
    ask: Callable[[int, str], Awaitable[ChangesPageT]], limit: int
) -> Sequence[changes_pb.MapChange]:
    """Read the latest `limit` changes (at least 1), in pages of at most 500."""
    found: list[changes_pb.MapChange] = []
    page_token = ""
    while True:
        page = await ask(min(PAGE_SIZE, limit - len(found)), page_token)
        found += page.changes
        page_token = page.next_page_token
        if not page_token or len(found) >= limit:
            return tuple(found[:limit])
