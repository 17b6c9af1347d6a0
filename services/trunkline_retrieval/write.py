"""Use cases: write and delete documents of one collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import SpaceMismatch
from trunkline_retrieval.budget import until_store
from trunkline_retrieval.model import EmbeddedDocument
from trunkline_retrieval.placement import Placements
from trunkline_retrieval.store import VectorStore
from trunkline_retrieval.vectors import require_vector


@dataclass(frozen=True, slots=True)
class UpsertCommand:
    """Documents to write, of distinct ids."""

    tenant_id: str
    collection_id: str
    space_id: str
    documents: Sequence[EmbeddedDocument]
    map_token: bytes = b""


@dataclass(frozen=True, slots=True)
class DeleteCommand:
    """Documents to delete."""

    tenant_id: str
    collection_id: str
    document_ids: Sequence[str]
    map_token: bytes = b""


class Write:
    """Writes to the collections that are placed here."""

    def __init__(self, placements: Placements, store: VectorStore) -> None:
        """Write to `store`, where `placements` allows it."""
        self._placements = placements
        self._store = store

    async def upsert(self, command: UpsertCommand, deadline: Deadline) -> int:
        """Write the documents, durably; return how many. The physical collection is made at the first write.

        Raises SpaceMismatch or FieldInvalid for vectors that the collection cannot hold, StorageFull, and what
        Placements.resolve and the store raise.
        """
        (ref,) = await self._placements.resolve(
            command.tenant_id, (command.collection_id,), command.map_token, deadline
        )
        if command.space_id != ref.space_id:
            raise SpaceMismatch(metadata={"collection": command.collection_id, "space": ref.space_id})
        for index, embedded in enumerate(command.documents):
            require_vector(ref, embedded.vector, f"documents[{index}].values")
        until = until_store(deadline)
        await self._store.ensure_collection(ref, until)
        await self._store.upsert(ref, command.documents, until)
        return len(command.documents)

    async def delete(self, command: DeleteCommand, deadline: Deadline) -> int:
        """Delete the documents, durably; return how many ids were asked for. Unknown ids are no error."""
        (ref,) = await self._placements.resolve(
            command.tenant_id, (command.collection_id,), command.map_token, deadline
        )
        await self._store.delete(ref, command.document_ids, until_store(deadline))
        return len(command.document_ids)
