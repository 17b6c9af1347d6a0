"""The live map, read as a whole at one revision."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from trunkline.storage.v1 import map_records_pb2 as storage_pb
from trunkline_cli.mapfile.messages import Message, message_key, unpack
from trunkline_cli.mapfile.schema import EntryKind, Key
from trunkline_client import ControlClient, TrunklineError

MAX_TRIES: Final = 3
_PAUSE_S: Final = 0.5

OnCount = Callable[[int, int], None]
"""Told how many entries of how many were read."""


@dataclass(slots=True)
class LiveMap:
    """Entries by kind and name, as the control role told them."""

    map_token: bytes = b""
    entries: dict[EntryKind, dict[Key, Message]] = field(default_factory=lambda: {kind: {} for kind in EntryKind})

    @property
    def count(self) -> int:
        """How many entries it has."""
        return sum(map(len, self.entries.values()))


async def read_live(client: ControlClient, told: OnCount) -> LiveMap:
    """Read the whole map; begun anew, three times in all, where the stream breaks. Raises TrunklineError."""
    for tries_left in range(MAX_TRIES - 1, -1, -1):
        try:
            return await _read(client, told)
        except TrunklineError as exc:
            if not tries_left or not (exc.retryable or exc.reason == "PAGE_EXPIRED"):
                raise
        await asyncio.sleep(_PAUSE_S)
    raise AssertionError("the last try returns or raises")


async def _read(client: ControlClient, told: OnCount) -> LiveMap:
    live, total = LiveMap(), 0
    async with aclosing(client.export_map()) as parts:
        async for part in parts:
            total = part.total_count or total
            live.map_token = part.map_token
            for entry in part.entries:
                kind, message = unpack(entry)
                live.entries[kind][message_key(message)] = message
            told(live.count, total)
    return live


def shown_state(map_token: bytes) -> str:
    """Return how people are told of a token's state: its revision and epoch, for comments only."""
    record = storage_pb.MapTokenRecord.FromString(map_token)
    return f"revision {record.revision} of epoch {record.epoch.hex()}"
