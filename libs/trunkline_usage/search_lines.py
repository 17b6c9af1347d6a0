"""Lines of the search audit: what they tell, and how they are chained."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final, NamedTuple

from trunkline_usage.records import DamagedLineError

SEARCHES: Final = "searches"
"""Name of the log, and beginning of its files' names."""
ALLOWED: Final = "allowed"
"""Outcome of a search that was done; every other outcome is the reason for which it was denied."""
GENESIS: Final = "0" * 64
"""`previous` of a folder's very first line."""
MAX_COLLECTIONS: Final = 64
MAX_LINE_BYTES: Final = 65_536
ODD: Final = "?"
"""Stands for a name that is none: a caller may have put anything where names belong, its query too."""
_NAME: Final = re.compile(r"[A-Za-z0-9_.:/@-]{1,128}")
_REASON: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


class SearchLine(NamedTuple):
    """Who searched what, in hashes, and whether it was allowed."""

    number: int
    time: str
    """RFC 3339, UTC."""
    tenant: str
    caller: str
    """Hash of the credential's subject by the day's salt; empty for an unknown one."""
    query: str
    """Hash of the text by the day's salt; empty where there was none."""
    collections: tuple[str, ...]
    """At most `MAX_COLLECTIONS`; none where the policy was to choose and did not come to it."""
    region: str
    jurisdiction: str
    outcome: str
    """`allowed` or `denied`."""
    reason: str
    """Why it was denied; else empty."""
    request_id: str
    previous: str
    """SHA-256 of the line before it, also over the border of two files."""

    @property
    def day(self) -> str:
        """Its day in UTC."""
        return self.time[:10]


def line_of(line: SearchLine) -> bytes:
    """Return the text of a line, without its end. Names and reasons are checked, so that no query's text gets in."""
    reason = "" if line.outcome == ALLOWED else _reason(line.reason)
    collections = ",".join(quoted(_name(each)) for each in line.collections[:MAX_COLLECTIONS])
    return (
        f'{{"n":{line.number:d},"time":"{line.time}","tenant":{quoted(_name(line.tenant))},"caller":"{line.caller}",'
        f'"query":"{line.query}","collections":[{collections}],"region":{quoted(_name(line.region))},'
        f'"jurisdiction":{quoted(_name(line.jurisdiction))},"outcome":"{line.outcome}","reason":"{reason}",'
        f'"request_id":{quoted(_checked(line.request_id))},"previous":"{line.previous}"}}'
    ).encode()


def search_line_of(text: bytes) -> SearchLine:
    """Return what a line tells. Raises DamagedLineError."""
    try:
        told: dict[str, Any] = json.loads(text)
        told["number"] = told.pop("n")
        told["collections"] = tuple(told["collections"])
        line = SearchLine(**told)
        datetime.fromisoformat(line.time)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise DamagedLineError("the line is none of a search audit") from exc
    texts: Sequence[object] = (*line[1:5], *line.collections, *line[6:])
    if type(line.number) is not int or not all(isinstance(each, str) for each in texts):
        raise DamagedLineError("the line is none of a search audit")
    return line


def chain_hash(text: bytes) -> str:
    """Return what the following line has as `previous`."""
    return sha256(text).hexdigest()


def time_of(unix_s: float) -> str:
    """Return a time as lines tell it, in milliseconds."""
    return f"{_second(int(unix_s))}.{int(unix_s * 1000) % 1000:03d}Z"


@lru_cache(maxsize=4)
def _second(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=4096)
def _name(text: str) -> str:
    return _checked(text)


def _checked(text: str) -> str:
    return text if not text or _NAME.fullmatch(text) else ODD


def _reason(text: str) -> str:
    return text if _REASON.fullmatch(text) else ODD
