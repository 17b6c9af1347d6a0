"""Tables of the ledger's database."""

from __future__ import annotations

from typing import Final

VERSION: Final = 2
"""Of the tables and of what counts as a repeat; a database of another version is made anew."""

SCHEMA: Final = """
CREATE TABLE files (
    journal TEXT NOT NULL, number INTEGER NOT NULL, behind INTEGER NOT NULL,
    PRIMARY KEY (journal, number)
) WITHOUT ROWID;
CREATE TABLE seen (
    place INTEGER PRIMARY KEY, request BLOB NOT NULL UNIQUE, line BLOB NOT NULL
);
CREATE TABLE sums (
    tenant TEXT NOT NULL, day TEXT NOT NULL, stage TEXT NOT NULL, collection TEXT NOT NULL, labels TEXT NOT NULL,
    price_version TEXT NOT NULL, count INTEGER NOT NULL, tokens INTEGER NOT NULL, cost_micros INTEGER NOT NULL,
    PRIMARY KEY (tenant, day, stage, collection, labels, price_version)
) WITHOUT ROWID;
CREATE TABLE requests (
    tenant TEXT NOT NULL, day TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (tenant, day)
) WITHOUT ROWID;
"""

FIND: Final = "SELECT line FROM seen WHERE request = ?"
KEEP: Final = "INSERT INTO seen (request, line) VALUES (?, ?)"
REPLACE: Final = "UPDATE seen SET line = ? WHERE request = ?"
FORGET: Final = "DELETE FROM seen WHERE place <= (SELECT max(place) FROM seen) - ?"
PLACE: Final = "SELECT behind FROM files WHERE journal = ? AND number = ?"
REACHED: Final = "INSERT OR REPLACE INTO files (journal, number, behind) VALUES (?, ?, ?)"
ADD_SUM: Final = """
INSERT INTO sums VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    count = count + excluded.count, tokens = tokens + excluded.tokens, cost_micros = cost_micros + excluded.cost_micros
"""
ADD_REQUESTS: Final = """
INSERT INTO requests VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count
"""
DROP_SUMS: Final = "DELETE FROM sums WHERE day < ?"
DROP_REQUESTS: Final = "DELETE FROM requests WHERE day < ?"
READ_SUMS: Final = """
SELECT day, stage, collection, labels, price_version, count, tokens, cost_micros FROM sums
WHERE tenant = ? AND day BETWEEN ? AND ? AND (count != 0 OR tokens != 0 OR cost_micros != 0)
"""
READ_REQUESTS: Final = "SELECT coalesce(sum(count), 0) FROM requests WHERE tenant = ? AND day BETWEEN ? AND ?"
