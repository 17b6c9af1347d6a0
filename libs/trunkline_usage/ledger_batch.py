"""What one transaction adds to a ledger."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from hashlib import blake2b
from typing import Final

from trunkline_usage.aggregate import Amount, day_of, repeat_key, winner
from trunkline_usage.ledger_schema import ADD_REQUESTS, ADD_SUM, FIND, KEEP, REPLACE
from trunkline_usage.records import UsageRecord, labels_text, record_of

_ID_BYTES: Final = 16

SumKey = tuple[str, str, str, str, str, str]
"""Tenant, day, stage, collection, labels, price version."""


class Batch:
    """Collects sums, and writes them at the end; who was seen is written at once."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Add to a database, within the transaction that is open."""
        self._database = database
        self._sums = defaultdict[SumKey, Amount](Amount)
        self._requests = defaultdict[tuple[str, str], int](int)

    def take(self, record: UsageRecord, line: bytes) -> None:
        """Count a record, unless a repeat of it counts instead."""
        request = blake2b("\0".join(repeat_key(record)).encode(), digest_size=_ID_BYTES).digest()
        found = self._database.execute(FIND, (request,)).fetchone()
        if found is None:
            self._database.execute(KEEP, (request, line))
            self._add(record, 1)
            return
        other = record_of(found[0]).record
        if winner(other, record) is record and record != other:
            self._database.execute(REPLACE, (line, request))
            self._add(other, -1)
            self._add(record, 1)

    def write(self) -> None:
        """Add the sums."""
        rows = ((*key, each.count, each.tokens, each.cost_micros) for key, each in self._sums.items())
        self._database.executemany(ADD_SUM, rows)
        self._database.executemany(ADD_REQUESTS, ((*key, count) for key, count in self._requests.items()))

    def _add(self, record: UsageRecord, sign: int) -> None:
        day = day_of(record.at_s, record.time_zone)
        self._requests[record.tenant_id, day] += sign
        labels = labels_text(record.labels)
        for use in record.stages:
            key = (record.tenant_id, day, use.stage, use.collection, labels, record.price_version)
            self._sums[key].add(sign * use.count, sign * use.tokens, sign * use.cost_micros)
