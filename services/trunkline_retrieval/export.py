"""Use case: read a collection in full, page by page, for migration and repair."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from trunkline_mesh.deadline import Deadline
from trunkline_retrieval.budget import until_store
from trunkline_retrieval.model import CollectionRef, EmbeddedDocument, ScrollPage
from trunkline_retrieval.placement import Placements
from trunkline_retrieval.store import VectorStore

PAGE_BYTES: Final = 3 << 20
"""Largest page of more than one document: well inside what callers accept in one message."""

PAGE_TIMEOUT_S: Final = 30.0
"""The store's time for one page, inside the deadline of the whole export."""


@dataclass(frozen=True, slots=True)
class ExportCommand:
    """What to read."""

    tenant_id: str
    collection_id: str
    cursor: UUID | None = None
    """Where to go on; None to begin."""
    page_size: int = 128
    """Most documents of a page."""
    map_token: bytes = b""


class Export:
    """Reads the collections that are placed here."""

    def __init__(self, placements: Placements, store: VectorStore) -> None:
        """Read `store`, where `placements` allows it."""
        self._placements = placements
        self._store = store

    async def run(self, command: ExportCommand, deadline: Deadline) -> AsyncGenerator[ScrollPage, None]:
        """Yield the collection's pages in the order of point ids, at least one; the last has no cursor.

        Documents written or deleted meanwhile may be in it or not; all others come exactly once. The map is asked again
        for each page, because a stream lives for minutes: a tenant that is suspended meanwhile reads no further one.
        Raises what Placements.resolve and VectorStore.scroll raise.
        """
        cursor, map_token = command.cursor, command.map_token
        while True:
            (ref,) = await self._placements.resolve(command.tenant_id, (command.collection_id,), map_token, deadline)
            map_token = b""  # the map only grows newer
            page = await self._store.scroll(
                ref, cursor, command.page_size, until_store(deadline).within(PAGE_TIMEOUT_S)
            )
            for part in split_page(ref, page):
                yield part
            if page.next_cursor is None:
                return
            cursor = page.next_cursor


def split_page(ref: CollectionRef, page: ScrollPage, max_bytes: int = PAGE_BYTES) -> Iterator[ScrollPage]:
    """Yield the page in parts of at most `max_bytes` or one document, each with the cursor of the next."""
    part: list[EmbeddedDocument] = []
    part_bytes = 0
    for embedded in page.documents:
        size_bytes = _size_bytes(embedded)
        if part and part_bytes + size_bytes > max_bytes:
            yield ScrollPage(tuple(part), ref.scope.point_id(embedded.document.document_id))
            part, part_bytes = [], 0
        part.append(embedded)
        part_bytes += size_bytes
    yield ScrollPage(tuple(part), page.next_cursor)


def _size_bytes(embedded: EmbeddedDocument) -> int:
    """Return about how many bytes the document takes in a message, rounded up."""
    document = embedded.document
    texts: Sequence[str] = [value for value in document.fields.values() if isinstance(value, str)]
    return (
        embedded.vector.nbytes
        + len(document.text.encode())
        + sum(len(text.encode()) for text in texts)
        + 80 * (len(document.fields) + 1)  # names, numbers and tags
        + len(document.document_id)
    )
