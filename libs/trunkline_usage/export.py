"""An account as files: CSV and JSON. The same account gives the same bytes, whatever it was read from."""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from trunkline_usage.account import Account

FORMAT: Final = "trunkline-usage-account-1"
COLUMNS: Final = (
    "tenant", "day", "stage", "collection", "label_value", "count", "tokens", "cost_micros", "price_version",
)  # fmt: skip


def csv_of(account: Account) -> bytes:
    """Return the account's lines as RFC 4180 has it, UTF-8, with a head."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\r\n")
    rows.writerow(COLUMNS)
    rows.writerows(_rows(account))
    return text.getvalue().encode()


def json_of(account: Account, currency: str) -> bytes:
    """Return the account with its totals and the digest of its CSV form, as one JSON object and a line end."""
    return json.dumps(data_of(account, currency), indent=1, ensure_ascii=False).encode() + b"\n"


def data_of(account: Account, currency: str) -> dict[str, Any]:
    """Return what `json_of` writes."""
    wanted = account.wanted
    return {
        "format": FORMAT,
        "first_day": wanted.first_day,
        "last_day": wanted.last_day,
        "tenant": wanted.tenant_id,
        "label": wanted.label,
        "currency": currency,
        "price_versions": sorted({heading.price_version for heading, _ in account.lines}),
        "requests": dict(account.requests),
        "tokens": sum(amount.tokens for _, amount in account.lines),
        "cost_micros": sum(amount.cost_micros for _, amount in account.lines),
        "csv_sha256": sha256(csv_of(account)).hexdigest(),
        "lines": [dict(zip(COLUMNS, row, strict=True)) for row in _rows(account)],
    }


def save(path: Path, data: bytes) -> str:
    """Write a file that is whole or not there, durable when this returns; return its SHA-256. Raises OSError."""
    made = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return sha256(data).hexdigest()


def _rows(account: Account) -> Iterator[tuple[str | int, ...]]:
    for heading, amount in account.lines:
        yield (
            heading.tenant_id,
            heading.day,
            heading.stage,
            heading.collection,
            heading.label_value,
            amount.count,
            amount.tokens,
            amount.cost_micros,
            heading.price_version,
        )
