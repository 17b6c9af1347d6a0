"""`trunkline policy show`, `versions` and `rollback`: what the control role knows of a tenant's policies."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated, Final

import typer

from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline_cli.exits import CliError, Exit
from trunkline_cli.groups import At, How, YesOption, confirm
from trunkline_client import ControlClient, Versioned

# trunkline_policy is imported where it is used: the other commands do without.

MAX_VERSIONS: Final = 1_000


def show(
    tenant: Annotated[str, typer.Option("--tenant", help="Whose policy.")],
    at: At,
    version: Annotated[int, typer.Option("--version", min=0, help="An earlier version; the live one without.")] = 0,
    rollout: Annotated[bool, typer.Option("--rollout", help="The text of the rollout under way.")] = False,
    text: Annotated[bool, typer.Option("--text", help="Print the YAML alone.")] = False,
) -> None:
    """Show a tenant's policy."""
    from trunkline_cli.policy.live import show_policy

    if rollout and version:
        raise CliError("--version and --rollout name two texts", code=Exit.USAGE)
    found = at.ask(lambda client: client.policy(tenant, version=version, rollout=rollout))
    out = at.out()
    if text and not at.json_output:
        out.line(found.value.yaml.rstrip("\n"))
        return
    show_policy(out, found, text=True)


def versions(
    tenant: Annotated[str, typer.Option("--tenant", help="Whose policy.")],
    at: At,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MAX_VERSIONS, help="How many, newest first.")] = 20,
) -> None:
    """List versions."""
    from trunkline_cli.policy.live import show_versions

    found = at.ask(lambda client: client.policy_versions(tenant, limit=limit))
    show_versions(at.out(), tenant, found)


def rollback(
    tenant: Annotated[str, typer.Option("--tenant", help="Whose policy.")],
    at: At,
    how: How,
    to: Annotated[int, typer.Option("--to", min=0, help="Version whose text is wanted; the one before without.")] = 0,
    yes: YesOption = False,
) -> None:
    """Make an earlier version's text the policy again."""
    from trunkline_cli.policy.changes import show_differences
    from trunkline_cli.policy.live import text_of, upon_version, written_data
    from trunkline_policy.diff import diff_policies

    options = how.to_client()
    live = at.ask(lambda client: client.policy(tenant))
    wanted = to or live.value.version - 1
    if wanted < 1:
        raise CliError(f"{tenant} has one version alone", code=Exit.USAGE)
    old = at.ask(lambda client: client.policy(tenant, version=wanted))
    out = at.out()
    show_differences(
        out,
        diff_policies(text_of(live.value, "the live policy").policy, text_of(old.value, f"version {wanted}").policy),
    )
    if not how.dry_run:
        confirm(f"Replace version {live.value.version} of {tenant} by the text of version {wanted}?", yes=yes, at=at)

    async def write(client: ControlClient) -> Versioned[policies_pb.Policy]:
        def roll_back(entry: policies_pb.Policy) -> Awaitable[Versioned[policies_pb.Policy]]:
            return client.roll_back_policy(tenant, wanted, entry.revision, options)

        return await upon_version(client, tenant, live.value.version, roll_back)

    written = at.ask(write)
    if how.dry_run:
        out.line(f"checked; version {live.value.version} of {tenant} is as it was")
    else:
        out.line(f"version {written.value.version} of {tenant}, the text of version {wanted}, is live")
    out.data(written_data(written, restored_version=wanted, dry_run=how.dry_run))
