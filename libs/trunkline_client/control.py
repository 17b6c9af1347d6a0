"""The collection map for operators: regions, tenants, spaces, collections and policies.

Entries are the contract's own messages (`trunkline.control.v1`), so that a newer server's fields survive a
read-modify-write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from trunkline.control.v1 import collection_map_service_pb2 as collections_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline.control.v1 import region_service_pb2 as regions_pb
from trunkline.control.v1 import space_service_pb2 as spaces_pb
from trunkline.control.v1 import tenant_service_pb2 as tenants_pb
from trunkline_client import methods
from trunkline_client.errors import NotFound
from trunkline_client.methods import Method, RequestT, ResponseT
from trunkline_client.session import Session

EntryT = TypeVar("EntryT", covariant=True)
ReadT = TypeVar("ReadT")
ItemT = TypeVar("ItemT")

_PAGE_SIZE: Final = 500
_MAX_PAGES: Final = 200
_DEADLINE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Versioned(Generic[EntryT]):
    """An entry, or several, and the token of the state of the map in which they stand."""

    value: EntryT
    map_token: bytes


class _Page(Protocol):
    @property
    def next_page_token(self) -> str: ...
    @property
    def map_token(self) -> bytes: ...


PageT = TypeVar("PageT", bound=_Page)


class ControlClient(Session):
    """Reads and changes the map through routers of role control. Every method raises TrunklineError.

    A put needs the entry's current `revision` (0 creates it) and is never repeated once it may have been received:
    after a transport error read the entry back. Give the token of a change to `TrunklineClient.read_after`.
    """

    async def collection(self, tenant_id: str, collection_id: str) -> Versioned[entries_pb.Collection]:
        """Read one collection."""
        request = collections_pb.GetCollectionRequest(tenant_id=tenant_id, collection_id=collection_id)
        response = await self._ask(methods.GET_COLLECTION, request)
        return Versioned(response.collection, response.map_token)

    async def collections(self, tenant_id: str = "") -> Versioned[Sequence[entries_pb.Collection]]:
        """List a tenant's collections."""
        return await _all_pages(
            lambda token: self._ask(
                methods.LIST_COLLECTIONS,
                collections_pb.ListCollectionsRequest(tenant_id=tenant_id, page_size=_PAGE_SIZE, page_token=token),
            ),
            lambda page: page.collections,
        )

    async def put_collection(self, entry: entries_pb.Collection) -> Versioned[entries_pb.Collection]:
        """Create or replace a collection."""
        response = await self._ask(methods.PUT_COLLECTION, collections_pb.PutCollectionRequest(collection=entry))
        return Versioned(response.collection, response.map_token)

    async def delete_collection(self, tenant_id: str, collection_id: str, revision: int = 0) -> bytes:
        """Remove a collection from the map; revision 0 removes whatever is there. Returns the change's token."""
        request = collections_pb.DeleteCollectionRequest(
            tenant_id=tenant_id, collection_id=collection_id, revision=revision
        )
        return (await self._ask(methods.DELETE_COLLECTION, request)).map_token

    async def region(self, region_id: str) -> Versioned[entries_pb.Region]:
        """Read one region."""
        response = await self._ask(methods.GET_REGION, regions_pb.GetRegionRequest(region_id=region_id))
        return Versioned(response.region, response.map_token)

    async def regions(self) -> Versioned[Sequence[entries_pb.Region]]:
        """List the regions."""
        return await _all_pages(
            lambda token: self._ask(
                methods.LIST_REGIONS, regions_pb.ListRegionsRequest(page_size=_PAGE_SIZE, page_token=token)
            ),
            lambda page: page.regions,
        )

    async def put_region(self, entry: entries_pb.Region) -> Versioned[entries_pb.Region]:
        """Create or replace a region."""
        response = await self._ask(methods.PUT_REGION, regions_pb.PutRegionRequest(region=entry))
        return Versioned(response.region, response.map_token)

    async def tenant(self, tenant_id: str) -> Versioned[entries_pb.Tenant]:
        """Read one tenant."""
        response = await self._ask(methods.GET_TENANT, tenants_pb.GetTenantRequest(tenant_id=tenant_id))
        return Versioned(response.tenant, response.map_token)

    async def tenants(self) -> Versioned[Sequence[entries_pb.Tenant]]:
        """List the tenants."""
        return await _all_pages(
            lambda token: self._ask(
                methods.LIST_TENANTS, tenants_pb.ListTenantsRequest(page_size=_PAGE_SIZE, page_token=token)
            ),
            lambda page: page.tenants,
        )

    async def put_tenant(self, entry: entries_pb.Tenant) -> Versioned[entries_pb.Tenant]:
        """Create or replace a tenant."""
        response = await self._ask(methods.PUT_TENANT, tenants_pb.PutTenantRequest(tenant=entry))
        return Versioned(response.tenant, response.map_token)

    async def space(self, space_id: str) -> Versioned[entries_pb.Space]:
        """Read one embedding space."""
        response = await self._ask(methods.GET_SPACE, spaces_pb.GetSpaceRequest(space_id=space_id))
        return Versioned(response.space, response.map_token)

    async def spaces(self) -> Versioned[Sequence[entries_pb.Space]]:
        """List the embedding spaces."""
        return await _all_pages(
            lambda token: self._ask(
                methods.LIST_SPACES, spaces_pb.ListSpacesRequest(page_size=_PAGE_SIZE, page_token=token)
            ),
            lambda page: page.spaces,
        )

    async def put_space(self, entry: entries_pb.Space) -> Versioned[entries_pb.Space]:
        """Create or replace an embedding space."""
        response = await self._ask(methods.PUT_SPACE, spaces_pb.PutSpaceRequest(space=entry))
        return Versioned(response.space, response.map_token)

    async def policy(self, tenant_id: str = "") -> Versioned[policies_pb.Policy]:
        """Read a tenant's policy."""
        response = await self._ask(methods.GET_POLICY, policies_pb.GetPolicyRequest(tenant_id=tenant_id))
        return Versioned(response.policy, response.map_token)

    async def put_policy(self, entry: policies_pb.Policy) -> Versioned[policies_pb.Policy]:
        """Check and replace a tenant's policy."""
        response = await self._ask(methods.PUT_POLICY, policies_pb.PutPolicyRequest(policy=entry))
        return Versioned(response.policy, response.map_token)

    async def _ask(self, method: Method[RequestT, ResponseT], request: RequestT) -> ResponseT:
        return (await self._call(method, request, _DEADLINE_S)).response


async def if_known(reading: Awaitable[Versioned[ReadT]]) -> Versioned[ReadT] | None:
    """Return what is read, or None if the map has no such entry. Raises every other TrunklineError."""
    try:
        return await reading
    except NotFound:
        return None


async def _all_pages(
    ask: Callable[[str], Awaitable[PageT]], entries: Callable[[PageT], Sequence[ItemT]]
) -> Versioned[Sequence[ItemT]]:
    """Read every page, all at one revision; at most 100,000 entries."""
    found: list[ItemT] = []
    page_token = ""
    for _ in range(_MAX_PAGES):
        page = await ask(page_token)
        found += entries(page)
        page_token = page.next_page_token
        if not page_token:
            break
    return Versioned(tuple(found), page.map_token)
