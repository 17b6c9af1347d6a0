"""Page tokens: where a listing goes on, and at which revision. Opaque text to callers."""

from __future__ import annotations

import base64
import binascii
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from trunkline.storage.v1 import map_records_pb2 as storage_pb
from trunkline_map.token import EPOCH_BYTES
from trunkline_mesh.errors import FieldInvalid, invalid_field
from trunkline_routing.control.fields import Fields

DEFAULT_PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 500
MAX_PAGE_TOKEN_BYTES: Final = 512


class PageToken(NamedTuple):
    """Where to go on."""

    revision: int
    after_key: bytes
    epoch: bytes


class PageRequest(NamedTuple):
    """One page that a caller wants."""

    size: int
    token: PageToken | None
    """None for the first page."""


def parse_page(page_size: int, page_token: str, *, most: int = MAX_PAGE_SIZE) -> PageRequest:
    """Return what a request asks for, at most `most` entries; raise FieldInvalid."""
    fields = Fields()
    fields.between("page_size", page_size, 0, most)
    fields.utf8("page_token", page_token, MAX_PAGE_TOKEN_BYTES)
    fields.check()
    return PageRequest(page_size or DEFAULT_PAGE_SIZE, decode(page_token) if page_token else None)


def encode(token: PageToken) -> str:
    """Return the token's text."""
    record = storage_pb.PageTokenRecord(revision=token.revision, after_key=token.after_key, epoch=token.epoch)
    return base64.urlsafe_b64encode(record.SerializeToString()).decode()


def decode(text: str) -> PageToken:
    """Return the token; raise FieldInvalid for text that is none."""
    try:
        raw = base64.b64decode(text.encode(), altchars=b"-_", validate=True)
        record = storage_pb.PageTokenRecord.FromString(raw)
    except (binascii.Error, DecodeError) as exc:
        raise _invalid() from exc
    if record.revision < 1 or not record.after_key or len(record.epoch) != EPOCH_BYTES:
        raise _invalid()
    return PageToken(record.revision, record.after_key, record.epoch)


def foreign_page_token() -> FieldInvalid:
    """Return the refusal of a token that belongs to another list."""
    return invalid_field("page_token", "must be of the page before of the same list")


def _invalid() -> FieldInvalid:
    return invalid_field("page_token", "must be as returned with the page before")
