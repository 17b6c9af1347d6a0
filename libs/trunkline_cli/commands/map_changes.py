"""Commands that write single entries: regions, tenants, spaces, collections and policies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline_cli.exits import CliError, Exit
from trunkline_cli.groups import At, How
from trunkline_cli.map_entries import (
    CollectionChange,
    RegionChange,
    TenantChange,
    split_given,
    split_list,
    write_collection,
    write_region,
    write_tenant,
)
from trunkline_cli.map_view import show_entry
from trunkline_client import ControlClient, Versioned, if_known

MAX_POLICY_BYTES: Final = 2_097_152
_REGION_STATES: Final = {
    "serving": entries_pb.REGION_STATE_SERVING,
    "draining": entries_pb.REGION_STATE_DRAINING,
    "down": entries_pb.REGION_STATE_DOWN,
}
_PREFERENCES: Final = {
    "nearest": entries_pb.REGION_PREFERENCE_NEAREST,
    "placement": entries_pb.REGION_PREFERENCE_PLACEMENT,
}
_SERVICES: Final = ("routing", "retrieval", "rerank", "inference", "admission", "learning")

TenantName = Annotated[str, typer.Option("--tenant", help="Whose.")]


def put_region(
    name: Annotated[str, typer.Argument(help="Region; what is not named here is kept.")],
    at: At,
    how: How,
    state: Annotated[str | None, typer.Option("--state", help="serving, draining or down.")] = None,
    jurisdiction: Annotated[
        str | None, typer.Option("--jurisdiction", help="For example eu; a new region needs it.")
    ] = None,
    endpoint: Annotated[
        list[str] | None,
        typer.Option("--endpoint", help="SERVICE=HOST:PORT,... replaces the addresses of that service; repeat it."),
    ] = None,
    store: Annotated[
        list[str] | None,
        typer.Option("--store", help="NAME=ENDPOINT or NAME=ENDPOINT@TENANT; the stores named replace all. Repeat it."),
    ] = None,
) -> None:
    """Change a region, or create one."""
    if state is not None and state not in _REGION_STATES:
        raise CliError(f"--state must be one of {', '.join(_REGION_STATES)}", code=Exit.USAGE)
    wanted = RegionChange(
        state=None if state is None else _REGION_STATES[state],
        jurisdiction=jurisdiction,
        endpoints=None if endpoint is None else dict(map(_endpoints, endpoint)),
        stores=None if store is None else [*map(_store, store)],
    )
    options = how.to_client()
    show_entry(at.out(), at.ask(lambda client: write_region(client, name, wanted, options)))


def put_tenant(
    name: Annotated[str, typer.Argument(help="Tenant.")],
    at: At,
    how: How,
    jurisdictions: Annotated[
        str | None, typer.Option("--jurisdictions", help="Comma separated, for example eu,us; a new tenant needs them.")
    ] = None,
    tier: Annotated[str | None, typer.Option("--tier", help="Name of a tier; a new tenant's is free.")] = None,
    suspended: Annotated[
        bool | None, typer.Option("--suspended/--active", help="Whether it may not use the service.")
    ] = None,
    quota_tokens_per_s: Annotated[
        int | None, typer.Option("--quota", min=0, help="Tokens a second; 0 for the tier's.")
    ] = None,
) -> None:
    """Create a tenant, or change what is named here of one."""
    wanted = TenantChange(
        jurisdictions=split_given(jurisdictions), tier=tier, suspended=suspended, quota_tokens_per_s=quota_tokens_per_s
    )
    options = how.to_client()
    show_entry(at.out(), at.ask(lambda client: write_tenant(client, name, wanted, options)))


def put_space(
    name: Annotated[str, typer.Argument(help="Embedding space.")],
    at: At,
    how: How,
    model: Annotated[str | None, typer.Option("--model", help="Model that makes its vectors.")] = None,
    model_revision: Annotated[str | None, typer.Option("--model-revision", help="The model's revision.")] = None,
    dimension: Annotated[int | None, typer.Option("--dimension", min=1, max=4096, help="Numbers in a vector.")] = None,
) -> None:
    """Create an embedding space, or change one that no collection uses."""
    options = how.to_client()

    async def change(client: ControlClient) -> Versioned[entries_pb.Space]:
        found = await if_known(client.space(name))
        entry = entries_pb.Space(space_id=name)
        if found is not None:
            entry.CopyFrom(found.value)
        entry.model_id = entry.model_id if model is None else model
        entry.model_revision = entry.model_revision if model_revision is None else model_revision
        entry.dimension = entry.dimension if dimension is None else dimension
        return await client.put_space(entry, options)

    show_entry(at.out(), at.ask(change))


def put_collection(
    name: Annotated[str, typer.Argument(help="Collection.")],
    tenant: TenantName,
    at: At,
    how: How,
    placement: Annotated[
        str | None,
        typer.Option("--placement", help="Regions, primary first, comma separated; a new collection needs them."),
    ] = None,
    jurisdictions: Annotated[
        str | None, typer.Option("--jurisdictions", help="Comma separated; empty for the tenant's.")
    ] = None,
    space: Annotated[
        str | None, typer.Option("--space", help="Embedding space of a new collection; minilm by default.")
    ] = None,
    dedicated: Annotated[
        bool | None, typer.Option("--dedicated/--shared", help="A new collection's own physical one, or a shared one.")
    ] = None,
    cluster: Annotated[
        bool, typer.Option("--dedicated-cluster", help="A new collection in stores of the tenant's own; see --store.")
    ] = False,
    shard: Annotated[
        int | None, typer.Option("--shard", min=0, max=1023, help="A new collection's shared one.")
    ] = None,
    preference: Annotated[
        str | None, typer.Option("--preference", help="Regions are asked in which order: nearest or placement.")
    ] = None,
    store: Annotated[
        list[str] | None,
        typer.Option("--store", help="REGION=STORE; the stores named replace all. Repeat it."),
    ] = None,
    description: Annotated[str | None, typer.Option("--description", help="What it is about.")] = None,
) -> None:
    """Create a collection's entry, or change what is named here of one; its documents are not moved."""
    if preference is not None and preference not in _PREFERENCES:
        raise CliError("--preference must be nearest or placement", code=Exit.USAGE)
    wanted = CollectionChange(
        placement=split_given(placement),
        jurisdictions=split_given(jurisdictions),
        space=space,
        dedicated=dedicated,
        cluster=cluster,
        shard=shard,
        preference=None if preference is None else _PREFERENCES[preference],
        stores=None if store is None else dict(_pair("--store", item, "REGION=STORE") for item in store if item),
        description=description,
    )
    options = how.to_client()
    show_entry(at.out(), at.ask(lambda client: write_collection(client, tenant, name, wanted, options)))


def put_policy(
    file: Annotated[Path, typer.Argument(help="YAML, as the guide describes it.", exists=True, dir_okay=False)],
    tenant: TenantName,
    at: At,
    how: How,
) -> None:
    """Check and replace a tenant's policy; `trunkline policy apply` lints it first and shows what it changes."""
    text, options = _policy_text(file), how.to_client()

    async def change(client: ControlClient) -> Versioned[policies_pb.Policy]:
        found = await if_known(client.policy(tenant))
        entry = policies_pb.Policy(tenant_id=tenant) if found is None else found.value
        entry.yaml = text
        return await client.put_policy(entry, options)

    show_entry(at.out(), at.ask(change))


def _policy_text(file: Path) -> str:
    with file.open("rb") as stream:
        data = stream.read(MAX_POLICY_BYTES + 1)
    if len(data) > MAX_POLICY_BYTES:
        raise CliError(f"{file} is larger than {MAX_POLICY_BYTES} bytes", code=Exit.USAGE)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise CliError(f"{file} is not UTF-8", code=Exit.USAGE) from None


def _endpoints(item: str) -> tuple[str, Sequence[str]]:
    service, addresses = _pair("--endpoint", item, "SERVICE=HOST:PORT")
    if service not in _SERVICES:
        raise CliError(f"--endpoint must name one of {', '.join(_SERVICES)}", code=Exit.USAGE)
    return service, split_list(addresses)


def _store(item: str) -> entries_pb.Store:
    name, where = _pair("--store", item, "NAME=ENDPOINT or NAME=ENDPOINT@TENANT")
    endpoint, _, tenant = where.partition("@")
    return entries_pb.Store(store_id=name, endpoint=endpoint, tenant_id=tenant)


def _pair(option: str, item: str, form: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals or not name:
        raise CliError(f"{option} must be {form}, not {item!r}", code=Exit.USAGE)
    return name, value
