"""`trunkline map put-*`: changes the collection map through the control role."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline_cli.exits import CliError, Exit, guarded
from trunkline_cli.map_entries import CollectionChange, TenantChange, split_given, write_collection, write_tenant
from trunkline_cli.map_view import ask, map_target, show_entry
from trunkline_cli.options import ControlOption, JsonOption, RunDirOption, TokenFileOption, TokenOption
from trunkline_cli.output import Output
from trunkline_client import ControlClient, Versioned, if_known

MAX_POLICY_BYTES: Final = 262_144
_REGION_STATES: Final = {
    "serving": entries_pb.REGION_STATE_SERVING,
    "draining": entries_pb.REGION_STATE_DRAINING,
    "down": entries_pb.REGION_STATE_DOWN,
}


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
    if state not in _REGION_STATES:
        raise CliError(f"--state must be one of {', '.join(_REGION_STATES)}", code=Exit.USAGE)

    async def change(client: ControlClient) -> Versioned[entries_pb.Region]:
        entry = (await client.region(name)).value
        entry.state = _REGION_STATES[state]
        return await client.put_region(entry)

    show_entry(Output(json_output), ask(map_target(control, token, token_file, run_dir), change))


@guarded
def put_tenant(
    name: Annotated[str, typer.Argument(help="Tenant.")],
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
    control: ControlOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    run_dir: RunDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Create a tenant, or change what is named here of one."""
    wanted = TenantChange(
        jurisdictions=split_given(jurisdictions), tier=tier, suspended=suspended, quota_tokens_per_s=quota_tokens_per_s
    )

    async def change(client: ControlClient) -> Versioned[entries_pb.Tenant]:
        return await write_tenant(client, name, wanted)

    show_entry(Output(json_output), ask(map_target(control, token, token_file, run_dir), change))


@guarded
def put_collection(
    name: Annotated[str, typer.Argument(help="Collection.")],
    tenant: Annotated[str, typer.Option("--tenant", help="Whose.")],
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
    description: Annotated[str | None, typer.Option("--description", help="What it is about.")] = None,
    control: ControlOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    run_dir: RunDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Create a collection's entry, or change what is named here of one; its documents are not moved."""
    wanted = CollectionChange(
        placement=split_given(placement),
        jurisdictions=split_given(jurisdictions),
        space=space,
        dedicated=dedicated,
        description=description,
    )

    async def change(client: ControlClient) -> Versioned[entries_pb.Collection]:
        return await write_collection(client, tenant, name, wanted)

    show_entry(Output(json_output), ask(map_target(control, token, token_file, run_dir), change))


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
    text = _policy_text(file)

    async def change(client: ControlClient) -> Versioned[policies_pb.Policy]:
        found = await if_known(client.policy(tenant))
        entry = policies_pb.Policy(tenant_id=tenant) if found is None else found.value
        entry.yaml = text
        return await client.put_policy(entry)

    show_entry(Output(json_output), ask(map_target(control, token, token_file, run_dir), change))


def _policy_text(file: Path) -> str:
    with file.open("rb") as stream:
        data = stream.read(MAX_POLICY_BYTES + 1)
    if len(data) > MAX_POLICY_BYTES:
        raise CliError(f"{file} is larger than {MAX_POLICY_BYTES} bytes", code=Exit.USAGE)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise CliError(f"{file} is not UTF-8", code=Exit.USAGE) from None
