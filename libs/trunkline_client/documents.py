"""Documents as plain types, and how they become messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from trunkline.common.v1 import document_pb2 as document_pb

FieldValue = str | int | float | bool

MAX_UPSERT_DOCUMENTS: Final = 64
"""Documents of one Upsert, as the contract says."""
MAX_UPSERT_BYTES: Final = 1 << 20
"""Bytes of the documents of one Upsert together."""
MAX_DELETE_IDS: Final = 256
"""Ids of one Delete."""
# Each document travels with a tag and a length, at most 8 bytes.
_FRAMING_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Document:
    """A piece of text that can be found.

    `document_id`: 1 to 128 characters `[A-Za-z0-9_.:/#-]`, unique in its collection. `text`: 1 to 32,768 bytes of
    UTF-8. `fields`: at most 32, names of 1 to 64 characters `[a-z0-9_]`.
    """

    document_id: str
    text: str
    fields: Mapping[str, FieldValue] = field(default_factory=dict)


def document_to_proto(document: Document) -> document_pb.Document:
    """Return the message of a document. Raises ValueError or TypeError for what no message can hold."""
    message = document_pb.Document(document_id=document.document_id, text=document.text)
    for name, value in document.fields.items():
        message.fields[name].CopyFrom(_value_to_proto(name, value))
    return message


def _value_to_proto(name: str, value: FieldValue) -> document_pb.FieldValue:
    if isinstance(value, bool):  # before int, of which it is a kind
        return document_pb.FieldValue(bool_value=value)
    if isinstance(value, int):
        return document_pb.FieldValue(int_value=value)
    if isinstance(value, float):
        return document_pb.FieldValue(double_value=value)
    if isinstance(value, str):
        return document_pb.FieldValue(string_value=value)
    raise TypeError(f"field {name!r} must be str, int, float or bool, not {type(value).__name__}")


def document_from_proto(message: document_pb.Document) -> Document:
    """Return the document of a message. A field of a kind that this client does not know is left out."""
    fields: dict[str, FieldValue] = {}
    for name, value in message.fields.items():
        kind = value.WhichOneof("kind")
        if kind is not None:
            fields[name] = getattr(value, kind)
    return Document(message.document_id, message.text, fields)


def upsert_batches(documents: Iterable[Document]) -> Iterator[Sequence[Document]]:
    """Yield the documents in order, in groups that one Upsert may carry: at most 64, 1 MiB together.

    A document that is too large alone comes as a group of its own, for the server to refuse by name.
    """
    batch: list[Document] = []
    size_bytes = 0
    for document in documents:
        own_bytes = document_to_proto(document).ByteSize() + _FRAMING_BYTES
        if batch and (len(batch) == MAX_UPSERT_DOCUMENTS or size_bytes + own_bytes > MAX_UPSERT_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(document)
        size_bytes += own_bytes
    if batch:
        yield batch
