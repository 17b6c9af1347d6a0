"""Hop tickets: what a service that knows a tenant's rank tells those that do not, so that nobody else can tell it.

A ticket is `{slot}.{mac}`: the half minute of Unix time that it was made in, and blake2b, keyed, over tenant, rank and
slot. It says only of which rank a tenant is; who calls, and for whom, the credential beside it says.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Sequence
from typing import Final

from trunkline_mesh.clock import Clock

SLOT_S: Final = 30
SLOTS_APART: Final = 2
"""A ticket holds while its slot is at most so far from ours: clocks differ, and calls take their time."""
MIN_KEY_CHARS: Final = 16
MAX_KEYS: Final = 8
MAX_KEPT: Final = 4096
"""Tenants with their ranks whose tickets are kept ready; all are forgotten when there are more."""

_MAC_BYTES: Final = 16
_PERSON: Final = b"trunkline-hop"
_TICKET: Final = re.compile(rf"([1-9][0-9]{{0,11}})\.([0-9a-f]{{{2 * _MAC_BYTES}}})")


def keys_of(text: str) -> tuple[str, ...]:
    """Return the keys of a setting, separated by commas; none for an empty text.

    Raises ValueError, without the text, for more than 8 keys, or one of fewer than 16 characters.
    """
    keys = tuple(key.strip() for key in text.split(",")) if text.strip() else ()
    if len(keys) > MAX_KEYS or any(len(key) < MIN_KEY_CHARS for key in keys):
        raise ValueError(f"1 to {MAX_KEYS} keys of at least {MIN_KEY_CHARS} characters are needed, or none")
    return keys


class HopTickets:
    """Makes and checks tickets. A ticket that is asked for again costs a look-up, a new one some microseconds."""

    def __init__(self, keys: Sequence[str], wall_clock: Clock = time.time) -> None:
        """Sign with the first key and accept all, as `keys_of` returns them. `wall_clock` gives Unix time.

        Raises ValueError without a key.
        """
        if not keys:
            raise ValueError("tickets need a key")
        # blake2b takes at most 64 bytes of key; digested, longer ones count in full.
        self._keys: Final = [hashlib.blake2b(key.encode()).digest() for key in keys]
        self._wall_clock = wall_clock
        self._slot = 0
        self._issued: dict[tuple[str, int], str] = {}
        self._macs: dict[tuple[str, int, int], list[str]] = {}

    def __len__(self) -> int:
        """Return the larger of the two numbers kept: tickets, and tickets' proofs."""
        return max(len(self._issued), len(self._macs))

    def issue(self, tenant: str, rank: int) -> str:
        """Return the ticket of a tenant with its rank, good for a minute at least."""
        slot = self._now_slot()
        ticket = self._issued.get((tenant, rank))
        if ticket is None:
            if len(self._issued) >= MAX_KEPT:
                self._issued.clear()
            ticket = self._issued[tenant, rank] = f"{slot}.{self._macs_of(tenant, rank, slot)[0]}"
        return ticket

    def accepts(self, ticket: str, tenant: str, rank: int) -> bool:
        """Return True for a ticket that a holder of one of the keys made for this tenant and rank, lately.

        Takes as long for a mac that is nearly right as for any other.
        """
        if ticket.isascii() and hmac.compare_digest(ticket, self.issue(tenant, rank)):
            return True  # of this half minute, by our own first key: nearly all are
        parts = _TICKET.fullmatch(ticket)
        if parts is None:
            return False
        slot = int(parts[1])
        if abs(slot - self._now_slot()) > SLOTS_APART:
            return False
        right = [hmac.compare_digest(parts[2], mac) for mac in self._macs_of(tenant, rank, slot)]
        return any(right)

    def _now_slot(self) -> int:
        slot = int(self._wall_clock() // SLOT_S)
        if slot != self._slot:
            self._slot = slot
            self._issued.clear()
            self._macs.clear()
        return slot

    def _macs_of(self, tenant: str, rank: int, slot: int) -> list[str]:
        name = (tenant, rank, slot)
        macs = self._macs.get(name)
        if macs is None:
            if len(self._macs) >= MAX_KEPT:
                self._macs.clear()
            told = _told(tenant, rank, slot)
            macs = self._macs[name] = [_mac(key, told) for key in self._keys]
        return macs


def _told(tenant: str, rank: int, slot: int) -> bytes:
    """Return what is signed: each part behind its length, so that no two triples look alike."""
    parts = (tenant.encode(), str(rank).encode(), str(slot).encode())
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _mac(key: bytes, told: bytes) -> str:
    return hashlib.blake2b(told, digest_size=_MAC_BYTES, key=key, person=_PERSON).hexdigest()
