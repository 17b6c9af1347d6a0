"""`trunkline map list` and `trunkline map get`: reads the collection map through the control role."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from google.protobuf.message import Message

from trunkline_cli.exits import CliError, Exit, guarded
from trunkline_cli.map_view import ask, entry_line, map_target, plain, show_entry
from trunkline_cli.options import ControlOption, JsonOption, RunDirOption, TokenFileOption, TokenOption
from trunkline_cli.output import Output
from trunkline_client import ControlClient, Versioned


class Kind(StrEnum):
    """What the map holds."""

    REGION = "region"
    TENANT = "tenant"
    SPACE = "space"
    COLLECTION = "collection"
    POLICY = "policy"


TenantName = Annotated[str, typer.Option("--tenant", help="Whose collections.")]


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

    found = ask(map_target(control, token, token_file, run_dir), work)
    out = Output(json_output)
    entries = [plain(entry) for entry in found.value]
    for entry in entries:
        out.line(entry_line(entry))
    out.data({"entries": entries, "map_token": found.map_token.hex()})


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

    show_entry(Output(json_output), ask(map_target(control, token, token_file, run_dir), work))


def _require_tenant(tenant: str) -> None:
    if not tenant:
        raise CliError("a collection belongs to a tenant", advice="add --tenant NAME", code=Exit.USAGE)
