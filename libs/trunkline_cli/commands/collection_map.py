"""`trunkline map list`, `get`, `history` and `watch`: reads the collection map through the control role."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from google.protobuf.message import Message

from trunkline_cli.change_view import show_changes
from trunkline_cli.commands import entries
from trunkline_cli.commands.entries import AfterOption, LimitOption, tell, token_of
from trunkline_cli.exits import CliError, Exit
from trunkline_cli.groups import At
from trunkline_cli.map_view import show_entries, show_entry
from trunkline_client import ControlClient, Versioned


class Kind(StrEnum):
    """What the map holds."""

    REGION = "region"
    TENANT = "tenant"
    SPACE = "space"
    COLLECTION = "collection"
    POLICY = "policy"


TenantName = Annotated[str, typer.Option("--tenant", help="Whose collections.")]


def list_entries(
    kind: Annotated[Kind, typer.Argument(help="What to list; policies are read one by one.")],
    at: At,
    tenant: TenantName = "",
) -> None:
    """List entries of one kind."""
    if kind is Kind.POLICY:
        raise CliError("policies are read one by one", advice="trunkline map get policy TENANT", code=Exit.USAGE)
    if kind is Kind.COLLECTION:
        _require_tenant(tenant)

    async def work(client: ControlClient) -> Versioned[Sequence[Message]]:
        match kind:
            case Kind.REGION:
                return await client.regions()
            case Kind.TENANT:
                return await client.tenants()
            case Kind.SPACE:
                return await client.spaces()
            case _:
                return await client.collections(tenant)

    show_entries(at.out(), at.ask(work))


def get_entry(
    kind: Annotated[Kind, typer.Argument(help="What to read.")],
    name: Annotated[str, typer.Argument(help="Its name; for a policy the tenant's.")],
    at: At,
    tenant: TenantName = "",
) -> None:
    """Read one entry."""
    if kind is Kind.COLLECTION:
        _require_tenant(tenant)

    async def work(client: ControlClient) -> Versioned[Any]:
        match kind:
            case Kind.REGION:
                return await client.region(name)
            case Kind.TENANT:
                return await client.tenant(name)
            case Kind.SPACE:
                return await client.space(name)
            case Kind.COLLECTION:
                return await client.collection(tenant, name)
            case Kind.POLICY:
                return await client.policy(name)

    show_entry(at.out(), at.ask(work))


def _require_tenant(tenant: str) -> None:
    if not tenant:
        raise CliError("a collection belongs to a tenant", advice="add --tenant NAME", code=Exit.USAGE)


def history(
    kind: Annotated[Kind, typer.Argument(help="region, tenant, space or collection.")],
    at: At,
    name: Annotated[str, typer.Argument(help="Its name; all of the kind without.")] = "",
    tenant: TenantName = "",
    limit: LimitOption = 20,
) -> None:
    """Tell who changed what."""
    if kind is Kind.COLLECTION:
        _require_tenant(tenant)
        show_changes(at.out(), at.ask(lambda client: client.collection_changes(tenant, name, limit=limit)))
    else:
        common = _common(kind)
        show_changes(at.out(), at.ask(lambda client: common.changes(client, name, limit)))


def watch(
    kind: Annotated[Kind, typer.Argument(help="region, tenant, space or collection.")],
    at: At,
    tenant: TenantName = "",
    after: AfterOption = "",
) -> None:
    """Tell changes as they happen."""
    map_token = token_of(after)
    if kind is Kind.COLLECTION:
        _require_tenant(tenant)
        tell(at, lambda client: client.watch_collections(tenant, map_token))
    else:
        common = _common(kind)
        tell(at, lambda client: common.watch(client, map_token))


def _common(kind: Kind) -> entries.Kind:
    found = {Kind.REGION: entries.REGION, Kind.SPACE: entries.SPACE, Kind.TENANT: entries.TENANT}.get(kind)
    if found is None:
        raise CliError("policies have a version instead", advice="trunkline map get policy TENANT", code=Exit.USAGE)
    return found
