"""`trunkline token`: development tokens of the local stack."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from trunkline_cli.exits import CliError, Exit, guarded
from trunkline_cli.options import JsonOption, RunDirOption
from trunkline_cli.output import Output
from trunkline_cli.target import find_run_dir, running_stack


@guarded
def token(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Whose data it may see.")] = None,
    roles: Annotated[
        list[str] | None,
        typer.Option("--role", help="operator, admin, service, or one of the tenant's own; repeat it."),
    ] = None,
    act_tenant: Annotated[str | None, typer.Option("--act-tenant", help="Tenant that a service acts for.")] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            "--attribute", help="NAME=VALUE that policies may look at, such as department=finance; repeat it."
        ),
    ] = None,
    subject: Annotated[str, typer.Option("--subject", help="Whom it names.")] = "developer",
    lifetime_s: Annotated[float, typer.Option("--lifetime", help="Seconds, at most seven days.")] = 3600.0,
    run_dir: RunDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Print a development token signed by the local stack's key, and nothing else, so that it can be piped."""
    from trunkline_local import DevIdentity

    state = running_stack(find_run_dir(run_dir))
    if not (tenant or roles):
        raise CliError("a token needs --tenant, --role, or both", code=Exit.USAGE)
    try:
        minted = DevIdentity.load(state.identity_dir).mint(
            subject,
            tenant=tenant,
            roles=roles or (),
            act_tenant=act_tenant,
            attributes=dict(map(_attribute, attribute or ())),
            lifetime_s=lifetime_s,
        )
    except ValueError as exc:
        raise CliError(str(exc), code=Exit.USAGE) from None
    out = Output(json_output)
    out.line(minted)
    out.data({"token": minted, "expires_at_s": int(time.time() + lifetime_s)})


def _attribute(item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not (name and equals):
        raise CliError(f"--attribute must be NAME=VALUE, not {item!r}", code=Exit.USAGE)
    return name, value
