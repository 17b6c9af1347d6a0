"""A head as bytes: a magic word, a header of canonical JSON, then the matrices as little-endian half-precision rows.

Half precision keeps three digits, which is what a cosine of an int8 encoder is worth, and halves what regions copy.
Biases are single precision. Nothing in it is run, and every length is checked before memory is taken for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trunkline_policy import limits
from trunkline_policy.basis import Family
from trunkline_policy.head_parts import OUTSIDE, FamilyHead, Floats, Scope

MAX_HEAD_BYTES: Final = 64 * 1024 * 1024
MAX_DIMENSION: Final = 8_192
MAX_ROWS: Final = 32_768
"""Prototypes or weights of one family."""
MAX_WEIGHT: Final = 60_000.0
"""The largest number that half precision holds is 65,504."""
MAX_VIEWS: Final = 4
"""Classifiers of one family."""
MAX_NAME_CHARS: Final = 63
_NO_OWNERS: Final = np.zeros(0, dtype=np.int32)
_MAGIC: Final = b"TLHEAD1\n"
_MAX_HEADER_BYTES: Final = 4 * 1024 * 1024
_HEADER: Final = {
    "basis_digest": str,
    "dimension": int,
    "example_count": int,
    "model_id": str,
    "model_revision": str,
    "space_id": str,
}
_STORED: Final[tuple[Family, ...]] = ("collection", "template", "model_class")


def halved(rows: npt.NDArray[Any]) -> Floats:
    """Return numbers as the format keeps them, so that a head decides alike before and after it is stored."""
    return np.clip(rows, -MAX_WEIGHT, MAX_WEIGHT).astype("<f2").astype(np.float32)


def pack(header: Mapping[str, str | int], families: Sequence[FamilyHead]) -> bytes:
    """Return header and families as bytes. Raises ValueError if they are larger than what `unpack` reads."""
    described = {**header, "families": [_described(head) for head in families]}
    head = json.dumps(described, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    parts = [_MAGIC, len(head).to_bytes(4, "little"), head]
    for family in families:
        parts += [
            family.prototypes.astype("<f2").tobytes(),
            family.prototype_owners.astype("<i4").tobytes(),
            family.weights.astype("<f2").tobytes(),
            family.biases.astype("<f4").tobytes(),
            family.weight_owners.astype("<i4").tobytes(),
        ]
    content = b"".join(parts)
    if len(content) > MAX_HEAD_BYTES or len(head) > _MAX_HEADER_BYTES:
        raise ValueError("the head is too large to be stored")
    return content


def _described(head: FamilyHead) -> dict[str, Any]:
    scope = head.scope
    return {
        "family": head.family,
        "prototypes": len(head.prototypes),
        "scale": head.scale,
        "scope": [scope.intercept, scope.closeness, scope.logit, scope.confidence],
        "targets": list(head.targets),
        "texts": list(head.texts),
        "views": list(head.views),
    }


def unpack(content: bytes) -> tuple[dict[str, Any], tuple[FamilyHead, ...]]:
    """Return header and families. Raises ValueError for anything that `pack` cannot have written."""
    if len(content) > MAX_HEAD_BYTES or not content.startswith(_MAGIC):
        raise ValueError("this is no head")
    start = len(_MAGIC) + 4
    end = start + int.from_bytes(content[len(_MAGIC) : start], "little")
    if not start < end <= min(len(content), start + _MAX_HEADER_BYTES):
        raise ValueError("the head's header is cut")
    try:
        described = json.loads(content[start:end])
    except RecursionError as exc:
        raise ValueError("the head's header is nested") from exc
    header, listed = _header(described)
    reader = _Reader(memoryview(content)[end:])
    families = tuple(_family(one, int(header["dimension"]), reader) for one in listed)
    if reader.left or [head.family for head in families] != [one for one in _STORED if one in _names(families)]:
        raise ValueError("the head has parts that do not belong there")
    return header, families


def _names(families: Sequence[FamilyHead]) -> set[Family]:
    return {head.family for head in families}


def _header(described: Any) -> tuple[dict[str, Any], list[Any]]:
    if not isinstance(described, dict) or set(described) != {*_HEADER, "families"}:
        raise ValueError("the head's header has other fields")
    header = {name: described[name] for name in _HEADER}
    if any(type(header[name]) is not kind for name, kind in _HEADER.items()) or len(described["families"]) > len(
        _STORED
    ):
        raise ValueError("the head's header has other types")
    if not 1 <= header["dimension"] <= MAX_DIMENSION or header["example_count"] < 0:
        raise ValueError("the head's dimension is out of bounds")
    return header, list(described["families"])


class _Reader:
    """Takes arrays off a buffer, each checked against what is left."""

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer

    @property
    def left(self) -> int:
        return len(self._buffer)

    def floats(self, kind: str, rows: int, columns: int) -> Floats:
        values = self._take(kind, rows * columns).astype(np.float32).reshape(rows, columns)
        if not np.isfinite(values).all():
            raise ValueError("the head has numbers that are not finite")
        return values

    def owners(self, rows: int, targets: int) -> npt.NDArray[np.int32]:
        owners = self._take("<i4", rows).astype(np.int32)
        steps = np.diff(owners, prepend=-1, append=targets)
        if not (steps[0] == 1 and steps[-1] == 1 and np.isin(steps, (0, 1)).all()):
            raise ValueError("the head's rows are out of order")
        return owners

    def _take(self, kind: str, count: int) -> npt.NDArray[Any]:
        size = count * np.dtype(kind).itemsize
        if size > self.left:
            raise ValueError("the head is cut")
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return np.frombuffer(taken, dtype=kind)


def _family(one: Any, dimension: int, reader: _Reader) -> FamilyHead:
    try:
        family, names, texts = one["family"], tuple(one["targets"]), tuple(one["texts"])
        prototypes, views = int(one["prototypes"]), tuple(one["views"])
        scale, scope = float(one["scale"]), Scope(*(float(value) for value in one["scope"]))
        known = tuple(name for name in names if name != OUTSIDE)
        fits = (
            family in _STORED
            and all(type(name) is str and len(name) <= MAX_NAME_CHARS for name in names)
            and known == tuple(sorted(set(known)))
            and names in (known, (*known, OUTSIDE))
            and len(known) <= limits.MAX_COLLECTIONS
            and len(texts) == len(names)
            and all(type(count) is int and count >= 0 for count in (*texts, *views))
            and 0 <= prototypes <= MAX_ROWS
            and len(views) <= MAX_VIEWS
            and sum(views) <= MAX_ROWS
            and np.isfinite([scale, scope.intercept, scope.closeness, scope.logit, scope.confidence]).all()
        )
    except (KeyError, TypeError, OverflowError) as exc:
        raise ValueError("a family of the head has other fields") from exc
    if not fits:
        raise ValueError("a family of the head is out of bounds")
    return FamilyHead(
        family=family,
        targets=names,
        texts=texts,
        prototypes=reader.floats("<f2", prototypes, dimension),
        prototype_owners=reader.owners(prototypes, len(names)),
        weights=reader.floats("<f2", sum(views), dimension),
        biases=reader.floats("<f4", sum(views), 1).reshape(-1),
        weight_owners=np.concatenate([_NO_OWNERS, *(reader.owners(count, len(names)) for count in views)]),
        views=views,
        scale=scale,
        scope=scope,
    )
