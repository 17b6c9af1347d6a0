"""The port through which the map meets its key-value store: reads at one revision, compare-and-set, and a watch.

Values are plain bytes here; what they mean stands in `records.py`. The only adapter is `etcd.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, TypeAlias

MAX_TRANSACTION_KEYS: Final = 64
"""Keys that one transaction may compare or change, together."""

MAX_TRANSACTION_BYTES: Final = 1 << 20
"""Keys and values that one transaction may carry; etcd's own bound is 1.5 MiB."""

MAX_PAGE_KEYS: Final = 500
"""Keys in one page of a listing: bounded work for the event loop, and far below the message limit."""


class StoreError(Exception):
    """Base of what reads and watches fail with. Never sent to callers: use cases turn it into a reason."""


class StoreUnavailableError(StoreError):
    """The store cannot be reached, has no leader, or did not answer in time."""


class StoreCompactedError(StoreError):
    """The revision asked for is gone."""


class WatchCanceledError(StoreError):
    """The store ended the watch, for a compaction or any other reason: what was missed is unknown, so list again."""


class TransactionTooLargeError(ValueError):
    """A transaction beyond the bounds above; nothing was sent."""


class KeyValue(NamedTuple):
    """A key as the store holds it."""

    key: bytes
    value: bytes
    mod_revision: int
    """Revision of its last change."""


class Page(NamedTuple):
    """A part of a listing."""

    items: tuple[KeyValue, ...]
    revision: int
    """The revision at which it was read; ask for the next page at the same one."""
    more: bool
    """True if keys follow after the last item."""


class ReadResult(NamedTuple):
    """Several keys at one revision."""

    items: Mapping[bytes, KeyValue]
    """The keys that exist."""
    revision: int


class Unchanged(NamedTuple):
    """Condition: nothing under the prefix was put after the revision. Deletes are not noticed."""

    prefix: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """Changes that are made together, if every condition holds, or not at all."""

    compares: Mapping[bytes, int] = field(default_factory=dict)
    """Key to the `mod_revision` that it must have; 0 for a key that must not exist."""
    unchanged: Sequence[Unchanged] = ()
    puts: Mapping[bytes, bytes] = field(default_factory=dict)
    deletes: Sequence[bytes] = ()

    def check_bounds(self) -> None:
        """Raise TransactionTooLargeError beyond the bounds of this module, ValueError if nothing would change.

        One that changes nothing is a read, which must not be a transaction; see `etcd.py`.
        """
        if not self.puts and not self.deletes:
            raise ValueError("a transaction must change something")
        keys = {*self.compares, *self.puts, *self.deletes, *(condition.prefix for condition in self.unchanged)}
        size_bytes = sum(map(len, keys)) + sum(map(len, self.puts.values()))
        if len(keys) > MAX_TRANSACTION_KEYS or size_bytes > MAX_TRANSACTION_BYTES:
            raise TransactionTooLargeError(f"{len(keys)} keys and {size_bytes} bytes are too much for one transaction")


class Commit(NamedTuple):
    """What became of a transaction."""

    applied: bool
    """False if a condition did not hold; nothing was changed then."""
    revision: int
    """The store's revision after it."""


class Event(NamedTuple):
    """One change of one key."""

    key: bytes
    value: bytes | None
    """None for a delete."""
    mod_revision: int


class Started(NamedTuple):
    """The watch is in place. The revision is the store's present one: events up to it may still be on their way."""

    revision: int


class Changes(NamedTuple):
    """Events in the order of their revisions; all events of one revision come together."""

    events: tuple[Event, ...]


class Progress(NamedTuple):
    """Nothing happened. Only an unrequested one says that every event up to its revision was delivered."""

    revision: int
    requested: bool
    """True for the answer to `request_progress`, which may overtake events on etcd before 3.5.8 (etcd#15220)."""


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """A member, as it answered; only the endpoint says something where it did not."""

    endpoint: str
    """`host:port`, as the settings name it."""
    reachable: bool
    """False if it did not answer in time, or refused to."""
    leader: bool = False
    """True if it leads the cluster."""
    has_leader: bool = False
    """False for a member that knows of no leader: the quorum is lost, or an election is on."""
    version: str = ""
    revision: int = 0
    """Latest revision that it has applied."""
    db_size_bytes: int = 0
    """Size of its database file."""
    db_used_bytes: int = 0
    """Part of it that is in use; the rest comes back by defragmenting."""
    alarms: tuple[str, ...] = ()
    """What it complains of, in etcd's words, for example that its quota is used up."""


Signal: TypeAlias = Started | Changes | Progress
"""What a watch yields."""


class Watch(Protocol):
    """An open watch. Iterate it from one task only."""

    def __aiter__(self) -> AsyncIterator[Signal]:
        """Yield signals. Raises StoreUnavailableError at a broken stream, WatchCanceledError if the store ends it."""

    async def request_progress(self) -> None:
        """Ask for a sign of life, which arrives as a `Progress`. Raises StoreUnavailableError."""

    def abort(self) -> None:
        """Break the stream: iteration ends with StoreUnavailableError."""


class KeyValueStore(Protocol):
    """Reads are linearizable. Every call is bounded by `timeout_s`; reads raise StoreUnavailableError."""

    async def read(self, keys: Sequence[bytes], *, timeout_s: float) -> ReadResult:
        """Return keys, 1 to MAX_TRANSACTION_KEYS, at one revision."""

    async def list_page(
        self,
        prefix: bytes,
        *,
        timeout_s: float,
        after: bytes = b"",
        limit: int = MAX_PAGE_KEYS,
        revision: int = 0,
        keys_only: bool = False,
        descending: bool = False,
    ) -> Page:
        """Return keys under `prefix` in order, those after `after`, as they were at `revision` (0: now).

        `descending` begins with the greatest key, and `after` is then the smallest one seen; the store reads the whole
        range for it, so use it for small folders. `keys_only` leaves the values empty. Raises StoreCompactedError if
        that revision is gone.
        """

    async def list_latest(
        self, prefix: bytes, *, timeout_s: float, limit: int = MAX_PAGE_KEYS, before: int = 0, since: int = 0
    ) -> Page:
        """Return keys under `prefix`, the last changed first: those changed before revision `before` (0: all) and at
        or after `since`.

        At least `limit`, if there are so many, and whole revisions only: ask for the next page with `before` set to
        the last item's `mod_revision`. The store reads the whole folder for each page.
        """

    async def quiet_since(self, prefix: bytes, revision: int, *, keys: int, timeout_s: float) -> int | None:
        """Return the present revision if nothing under `prefix`, which held `keys` keys, changed after `revision`."""

    async def commit(self, transaction: Transaction, *, timeout_s: float) -> Commit:
        """Apply a transaction. Raises TransactionTooLargeError, and MapUnwritable where success is not known."""

    def watch(self, prefix: bytes, *, start_revision: int) -> AbstractAsyncContextManager[Watch]:
        """Watch every key under `prefix` from `start_revision` on."""

    async def member_statuses(self, *, timeout_s: float) -> tuple[MemberStatus, ...]:
        """Return what each member says of itself, in the order of the endpoints; all are asked at once."""

    async def check_version(self, *, timeout_s: float) -> str:
        """Return the server's version, and warn of one that is known to lose data."""
