"""`trunkline map`: reads and changes the collection map through the control role."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline_cli.exits import CliError, Exit, guarded
from trunkline_cli.options import ControlOption, JsonOption, RunDirOption, TokenFileOption, TokenOption
from trunkline_cli.output import Output, one_line
from trunkline_cli.target import Target, TargetOptions
from trunkline_client import ControlClient, NotFound, Versioned

map_app = typer.Typer(no_args_is_help=True, help="Read and change the collection map (needs the role operator).")

MAX_POLICY_BYTES = 262_144


class Kind(StrEnum):
    """What the map holds."""

    REGION = "region"
    TENANT = "tenant"
    SPACE = "space"
    COLLECTION = "collection"
    POLICY = "policy"


TenantName = Annotated[str, typer.Option("--tenant", help="Whose collections or policy.")]


@map_app.command("list")
@guarded
def list_entries(
    kind: Annotated[Kind, typer.Argument(help="What to list; policies are read one by one.")],
    tenant: TenantName = "",
    control: ControlOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    run_dir: RunDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """List entries of one kind."""

    async def ask(client: ControlClient) -> Versioned[Sequence[Message]]:
        match kind:
            case Kind.REGION:
                return await client.regions()
            case Kind.TENANT:
                return await client.tenants()
            case Kind.SPACE:
                return await client.spaces()
            case Kind.COLLECTION:
                return await client.collections(tenant)
        raise CliError("policies are read one by one", advice="trunkline map get policy TENANT", code=Exit.USAGE)

    found = _run(_target(control, token, token_file, run_dir), ask)
    out = Output(json_output)
    entries = [_plain(entry) for entry in found.value]
    for entry in entries:
        out.line(_entry_line(entry))
    out.data({"entries": entries, "map_token": found.map_token.hex()})


@map_app.command("get")
@guarded
def get_entry(
    kind: Annotated[Kind, typer.Argument(help="What to read.")],
    name: Annotated[str, typer.Argument(help="Its name; for a policy the tenant's.")],
    tenant: TenantName = "",
    control: ControlOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    run_dir: RunDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Read one entry."""

    async def ask(client: ControlClient) -> Versioned[Any]:
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

    _show(Output(json_output), _run(_target(control, token, token_file, run_dir), ask))


@map_app.command("put-region")
@guarded
def put_region(
    name: Annotated[str, typer.Argument(help="Region; it must exist, endpoints are kept.")],
    state: Annotated[str, typer.Option("--state", help="serving, draining or down.")],
    control: ControlOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    run_dir: RunDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Take a region out of traffic, or back in."""
    states = {"serving", "draining", "down"}
    if state not in states:
        raise CliError(f"--state must be one of {', '.join(sorted(states))}", code=Exit.USAGE)

    async def change(client: ControlClient) -> Versioned[entries_pb.Region]:
        entry = (await client.region(name)).value
        entry.state = entries_pb.RegionState.Value(f"REGION_STATE_{state.upper()}")
        return await client.put_region(entry)

    _show(Output(json_output), _run(_target(control, token, token_file, run_dir), change))


@map_app.command("put-tenant")
@guarded
def put_tenant(
    name: Annotated[str, typer.Argument(help="Tenant.")],
    jurisdictions: Annotated[str, typer.Option("--jurisdictions", help="Comma separated, for example eu,us.")],
    tier: Annotated[str, typer.Option("--tier", help="Name of a tier.")] = "free",
    suspended: Annotated[bool, typer.Option("--suspended", help="It may not use the service.")] = False,
    quota_tokens_per_s: Annotated[int, typer.Option("--quota", help="Tokens a second; 0 for the tier's.")] = 0,
    control: ControlOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    run_dir: RunDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Create or replace a tenant."""

    async def change(client: ControlClient) -> Versioned[entries_pb.Tenant]:
        entry = await _current(client.tenant(name), entries_pb.Tenant(tenant_id=name))
        entry.tier = tier
        entry.jurisdictions[:] = split_list(jurisdictions)
        entry.state = entries_pb.TENANT_STATE_SUSPENDED if suspended else entries_pb.TENANT_STATE_ACTIVE
        entry.quota_tokens_per_s = quota_tokens_per_s
        return await client.put_tenant(entry)

    _show(Output(json_output), _run(_target(control, token, token_file, run_dir), change))


@map_app.command("put-collection")
@guarded
def put_collection(
    name: Annotated[str, typer.Argument(help="Collection.")],
    tenant: Annotated[str, typer.Option("--tenant", help="Whose.")],
    placement: Annotated[str, typer.Option("--placement", help="Regions, primary first, comma separated.")],
    jurisdictions: Annotated[
        str, typer.Option("--jurisdictions", help="Comma separated; empty for the tenant's.")
    ] = "",
    space: Annotated[str, typer.Option("--space", help="Embedding space.")] = "minilm",
    dedicated: Annotated[bool, typer.Option("--dedicated", help="A physical collection of its own.")] = False,
    description: Annotated[str, typer.Option("--description", help="What it is about.")] = "",
    control: ControlOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    run_dir: RunDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Create or replace a collection's entry; its documents are not moved."""

    async def change(client: ControlClient) -> Versioned[entries_pb.Collection]:
        return await write_collection(
            client,
            tenant=tenant,
            name=name,
            placement=split_list(placement),
            jurisdictions=split_list(jurisdictions),
            space=space,
            dedicated=dedicated,
            description=description,
        )

    _show(Output(json_output), _run(_target(control, token, token_file, run_dir), change))


@map_app.command("put-policy")
@guarded
def put_policy(
    file: Annotated[Path, typer.Argument(help="YAML, as the guide describes it.", exists=True, dir_okay=False)],
    tenant: Annotated[str, typer.Option("--tenant", help="Whose.")],
    control: ControlOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    run_dir: RunDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Check and replace a tenant's policy."""
    data = file.read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise CliError(f"{file} is not UTF-8", code=Exit.USAGE) from None
    if len(data) > MAX_POLICY_BYTES:
        raise CliError(f"{file} is larger than {MAX_POLICY_BYTES} bytes", code=Exit.USAGE)

    async def change(client: ControlClient) -> Versioned[policies_pb.Policy]:
        entry = await _current(client.policy(tenant), policies_pb.Policy(tenant_id=tenant))
        entry.yaml = text
        return await client.put_policy(entry)

    _show(Output(json_output), _run(_target(control, token, token_file, run_dir), change))


async def write_collection(
    client: ControlClient,
    *,
    tenant: str,
    name: str,
    placement: Sequence[str],
    jurisdictions: Sequence[str],
    space: str,
    dedicated: bool = False,
    description: str = "",
) -> Versioned[entries_pb.Collection]:
    """Create or replace a collection's entry at its current revision."""
    entry = await _current(client.collection(tenant, name), entries_pb.Collection(tenant_id=tenant, collection_id=name))
    entry.space_id = space
    entry.placement[:] = placement
    entry.jurisdictions[:] = jurisdictions
    entry.description = description
    if dedicated:
        entry.dedicated.SetInParent()
    elif entry.WhichOneof("layout") != "shared_shard":
        entry.shared_shard.shard = 0
    return await client.put_collection(entry)


def split_list(text: str) -> list[str]:
    """Return the items of a list separated by commas."""
    return [item.strip() for item in text.split(",") if item.strip()]


async def _current(reading: Awaitable[Versioned[Any]], fresh: Any) -> Any:
    """Return the entry as it is, so that its revision and what this program does not know are kept; or a fresh one."""
    try:
        return (await reading).value
    except NotFound as exc:
        if exc.reason == "TENANT_UNKNOWN" and not isinstance(fresh, entries_pb.Tenant):
            raise
        return fresh


def _target(control: str | None, token: str | None, token_file: Path | None, run_dir: Path | None) -> Target:
    return Target(TargetOptions(run_dir=run_dir, control=control, token=token, token_file=token_file))


def _run(target: Target, work: Callable[[ControlClient], Awaitable[Versioned[Any]]]) -> Versioned[Any]:
    async def run() -> Versioned[Any]:
        async with target.control() as client:
            return await work(client)

    return asyncio.run(run())


def _show(out: Output, found: Versioned[Message]) -> None:
    entry = _plain(found.value)
    for key, value in entry.items():
        out.line(f"{key}: {value}")
    out.data({"entry": entry, "map_token": found.map_token.hex()})


def _plain(entry: Message) -> Mapping[str, Any]:
    plain: Mapping[str, Any] = MessageToDict(entry, preserving_proto_field_name=True)
    return plain


def _entry_line(entry: Mapping[str, Any]) -> str:
    names = ("region_id", "collection_id", "space_id", "tenant_id")
    name = next((str(entry[key]) for key in names if key in entry), "")
    rest = {key: value for key, value in entry.items() if str(value) != name}
    return f"{name}: {one_line(', '.join(f'{key}={value}' for key, value in rest.items()), 400)}"
