"""One line of a usage journal: what a request used and cost, and its text with a check of itself."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final, NamedTuple

OK: Final = "ok"
"""Outcome of a request that was answered; every other outcome is a refusal's or failure's reason."""
MAX_LINE_BYTES: Final = 65_536
"""A search of 64 collections with 16 labels takes some 10 KB."""
MAX_COUNT: Final = 10**12
"""Bound of every number in a record, so that sums stay exact in 64 bits."""
_MAX_AT_US: Final = 4_102_444_800_000_000
"""The year 2100: a later time is damage."""
_DECODER: Final = json.JSONDecoder()
_CHECK: Final = b',"c":"'
_TAIL_BYTES: Final = len(_CHECK) + 10


@dataclass(frozen=True, slots=True)
class StageUse:
    """What one stage of a request used."""

    stage: str
    """`search`, `embedding`, `rerank` or `write`."""
    collection: str
    """Empty where the stage is not of one."""
    count: int
    """How often: queries embedded, reranks, documents written."""
    tokens: int
    """Cost tokens."""
    cost_micros: int
    """By the price list, in millionths of its currency."""


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """What one request used. Numbers are from 0 to `MAX_COUNT`."""

    request_id: str
    tenant_id: str
    at_s: float
    """Unix time at which it was answered."""
    region: str
    kind: str
    """`search`, `route` or `write`."""
    stages: tuple[StageUse, ...]
    labels: tuple[tuple[str, str], ...]
    """The tenant's own, sorted by name."""
    price_version: str
    outcome: str
    """`OK`, or the reason's name."""
    time_zone: str = ""
    """IANA name by which its day is told, the tenant's; empty for UTC."""
    digest: str = ""
    """Of the request's content, keyed with its id: 16 hexadecimal characters; empty in records of older routers."""


class DamagedLineError(ValueError):
    """A line is whole and yet no record."""


class NumberedRecord(NamedTuple):
    """A record and its number in the journal."""

    number: int
    record: UsageRecord


def line_of(record: UsageRecord, number: int) -> bytes:
    """Return a record's line, with its end.

    A JSON object whose last member is the CRC-32 of what stands before it. Raises ValueError or TypeError for a record
    with a value of another type, and ValueError for one beyond `MAX_LINE_BYTES`.
    """
    at_us = round(record.at_s * 1e6)
    stages = ",".join(
        f"[{quoted(use.stage)},{quoted(use.collection)},{use.count:d},{use.tokens:d},{use.cost_micros:d}]"
        for use in record.stages
    )
    body = (
        f'{{"n":{number:d},"id":{quoted(record.request_id)},"t":{quoted(record.tenant_id)},"at":{at_us:d},'
        f'"r":{quoted(record.region)},"k":{quoted(record.kind)},"o":{quoted(record.outcome)},'
        f'"p":{quoted(record.price_version)},"z":{quoted(record.time_zone)},"d":{quoted(record.digest)},"s":[{stages}],"l":{labels_text(record.labels)}'
    ).encode()
    if len(body) > MAX_LINE_BYTES - _TAIL_BYTES:
        raise ValueError("the record is too long")
    return b'%b,"c":"%08x"}\n' % (body, zlib.crc32(body))


def record_of(line: bytes) -> NumberedRecord:
    """Return the record of a line, with or without its end. Raises DamagedLineError."""
    body, found, check = line.rstrip(b"\n").rpartition(_CHECK)
    if not found or check != b'%08x"}' % zlib.crc32(body):
        raise DamagedLineError("the line is not as it was written")
    try:
        told, end = _DECODER.raw_decode(text := body.decode("ascii") + "}")
        if end != len(text):
            raise DamagedLineError("the line is more than one object")
        record = UsageRecord(
            request_id=_text(told["id"]),
            tenant_id=_text(told["t"]),
            at_s=_count(told["at"], _MAX_AT_US) / 1e6,
            region=_text(told["r"]),
            kind=_text(told["k"]),
            stages=tuple([_stage(*each) for each in told["s"]]),
            labels=tuple([(_text(name), _text(value)) for name, value in told["l"]]),
            price_version=_text(told["p"]),
            outcome=_text(told["o"]),
            time_zone=_text(told["z"]),
            digest=_text(told.get("d", "")),
        )
        return NumberedRecord(_count(told["n"]), record)
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise DamagedLineError("the line is no usage record") from exc


@lru_cache(maxsize=4096)
def labels_text(labels: tuple[tuple[str, str], ...]) -> str:
    """Return labels as JSON; a tenant's are the same for all of its requests."""
    return json.dumps(labels, separators=(",", ":"))


@lru_cache(maxsize=16_384, typed=True)
def _stage(stage: Any, collection: Any, count: Any, tokens: Any, micros: Any) -> StageUse:
    """Return a use; most requests are alike, and a value that is shared costs a tenth of one that is made."""
    return StageUse(_text(stage), _text(collection), _count(count), _count(tokens), _count(micros))


def _text(told: Any) -> str:
    if not isinstance(told, str):
        raise TypeError("no text")
    return told


def _count(told: Any, most: int = MAX_COUNT) -> int:
    if type(told) is not int or not 0 <= told <= most:
        raise ValueError("no count")
    return told
