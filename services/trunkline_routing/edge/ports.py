"""What the front door needs of others. Adapters: `inference_client`, `retrieval_client`, `rerank_client`, the lease."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline_lease.charge import Charge
from trunkline_lease.spent import Spent
from trunkline_map.entries import RegionEntry, SpaceEntry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError
from trunkline_routing.edge.model import Hit, Query, Vector, Vectors


@dataclass(frozen=True, slots=True)
class Scored:
    """One candidate in its new place."""

    index: int
    """Where it stood before."""
    score: float
    scored: bool
    """False if there was no time for it."""


class Inference(Protocol):
    """Embeddings of one region."""

    async def embed(
        self, region: RegionEntry, space: SpaceEntry, texts: Sequence[str], *, passages: bool, deadline: Deadline
    ) -> Sequence[Vector]:
        """Return one vector for each text. Raises domain errors."""


class Retrieval(Protocol):
    """One region's collections."""

    async def search(
        self,
        region: RegionEntry,
        tenant_id: str,
        collections: Sequence[str],
        query: Query,
        vectors: Vectors,
        *,
        limit: int,
        map_token: bytes,
        deadline: Deadline,
    ) -> Sequence[Sequence[Hit] | DomainError]:
        """Return each collection's hits, best first, or why it alone could not be searched. Raises domain errors.

        `vectors` are of the collections' spaces: for each of them, or for none.
        """

    async def upsert(
        self,
        region: RegionEntry,
        tenant_id: str,
        collection: str,
        space_id: str,
        documents: Sequence[document_pb.Document],
        vectors: Sequence[Vector],
        *,
        map_token: bytes,
        deadline: Deadline,
    ) -> None:
        """Write documents durably. Raises domain errors."""

    async def delete(
        self,
        region: RegionEntry,
        tenant_id: str,
        collection: str,
        document_ids: Sequence[str],
        *,
        map_token: bytes,
        deadline: Deadline,
    ) -> None:
        """Delete documents durably. Raises domain errors."""


class Rerank(Protocol):
    """Reordering in one region."""

    async def rerank(
        self, region: RegionEntry, query: str, passages: Sequence[str], *, top_n: int, deadline: Deadline
    ) -> Sequence[Scored]:
        """Return the candidates in their new order. Raises domain errors."""


class Quota(Protocol):
    """What a tenant may spend; trunkline_lease.LeaseHolder has it.

    `key` is the subject of a credential that the tenant limits by itself, else empty.
    """

    async def spend(self, tenant_id: str, charge: Charge, deadline: Deadline, *, key: str = "") -> Spent:
        """Take all of `charge`; raise QuotaExhausted with the delay after which to come back, or Overloaded."""

    def refund(self, tenant_id: str, charge: Charge, *, key: str = "", spent: Spent | None = None) -> Charge:
        """Give back, of what `spend` returned as `spent`, what was not used; return what was taken back."""
