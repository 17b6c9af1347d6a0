"""`trunkline policy diff` and `apply`: from a file to the live policy."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline_cli.exits import CliError, Exit
from trunkline_cli.groups import At, How, YesOption, confirm
from trunkline_cli.options import PolicyTenantOption
from trunkline_client import ControlClient, Versioned

if TYPE_CHECKING:
    from trunkline_cli.policy.files import PolicyText
    from trunkline_policy.diff import Change

# trunkline_policy is imported where it is used: the other commands do without.

FileArgument = Annotated[Path, typer.Argument(help="Policy, YAML.", exists=True, dir_okay=False)]
StateOption = Annotated[str, typer.Option("--rollout", help="Begin a rollout in place of a change: shadow or canary.")]
ShareOption = Annotated[
    float | None, typer.Option("--share", min=0, max=1, help="Share of the queries; a tenth for a canary, else all.")
]


def diff(
    file: FileArgument,
    at: At,
    other: Annotated[
        Path | None, typer.Argument(help="Policy to compare with; the live one without.", exists=True, dir_okay=False)
    ] = None,
    tenant: PolicyTenantOption = None,
) -> None:
    """Show what differs between a file and the live policy, or another file."""
    from trunkline_cli.policy.changes import differences_data, show_differences
    from trunkline_cli.policy.files import read_policy
    from trunkline_policy.diff import diff_policies

    if (other is None) == (tenant is None):
        raise CliError("name either --tenant, or a second file", code=Exit.USAGE)
    wanted = read_policy(file)
    old, version = (read_policy(other), 0) if other is not None else _live(at, str(tenant))
    changes = diff_policies(None if old is None else old.policy, wanted.policy)
    out = at.out()
    out.line(f"from {old.name if old else 'no policy'} to {wanted.name}:", style="bold")
    show_differences(out, changes)
    out.data({"live_version": version, "changes": differences_data(changes)})


def _live(at: At, tenant: str) -> tuple[PolicyText | None, int]:
    from trunkline_cli.policy.live import live_policy, text_of

    found = at.ask(lambda client: live_policy(client, tenant))
    if found is None:
        return None, 0
    return text_of(found.value, f"the live policy of {tenant}, version {found.value.version}"), found.value.version


def apply(
    file: FileArgument,
    tenant: Annotated[str, typer.Option("--tenant", help="Whose policy.")],
    at: At,
    how: How,
    rollout: StateOption = "",
    share: ShareOption = None,
    yes: YesOption = False,
) -> None:
    """Check a policy, show what it changes, and make it the live one, or begin its rollout."""
    from trunkline_cli.commands.policy_rollout import begin
    from trunkline_cli.policy.live import live_policy

    text, errors = _linted(at, file)
    if errors:
        raise CliError(f"{file} has {errors} errors", advice="nothing was changed; see `trunkline policy lint`")
    found = at.ask(lambda client: live_policy(client, tenant))
    changes = _shown_changes(at, found, text)
    if rollout:
        begin(at, how, text.text, tenant=tenant, state=rollout, share=share, yes=yes)
    elif found is not None and found.value.yaml == text.text:
        at.out().line(f"version {found.value.version} of {tenant} is this very text; nothing to do")
        at.out().data({"tenant": tenant, "version": found.value.version, "changes": 0, "applied": False})
    else:
        _put(at, how, found, text, tenant, changes=len(changes), yes=yes)


def _linted(at: At, file: Path) -> tuple[PolicyText, int]:
    """Show what lint finds, but for notes; return the policy and how many errors it has."""
    from trunkline_cli.policy.files import PolicyText, read_policy, read_text
    from trunkline_cli.policy.findings import Linted, lint_text, show_findings

    linted = lint_text(str(file), read_text(file))
    if linted.policy is None:
        read_policy(file)  # raises, and says where
    findings = [item for item in linted.findings if item.level != "note"]
    if findings:
        show_findings(at.out(), Linted(linted.name, linted.policy, findings))
    assert linted.policy is not None
    return PolicyText(str(file), read_text(file), linted.policy), linted.count("error")


def _shown_changes(at: At, found: Versioned[policies_pb.Policy] | None, wanted: PolicyText) -> list[Change]:
    from trunkline_cli.policy.changes import show_differences
    from trunkline_cli.policy.live import text_of
    from trunkline_policy.diff import diff_policies

    old = None if found is None else text_of(found.value, "the live policy").policy
    changes = diff_policies(old, wanted.policy)
    show_differences(at.out(), changes)
    return changes


def _put(
    at: At,
    how: How,
    found: Versioned[policies_pb.Policy] | None,
    wanted: PolicyText,
    tenant: str,
    *,
    changes: int,
    yes: bool,
) -> None:
    from trunkline_cli.policy.live import upon_version, written_data

    options = how.to_client()
    version = 0 if found is None else found.value.version
    live = f"version {version}" if version else "no policy"
    if not how.dry_run:
        confirm(f"Replace {live} of {tenant}?", yes=yes, at=at)

    async def write(client: ControlClient) -> Versioned[policies_pb.Policy]:
        def put(entry: policies_pb.Policy) -> Awaitable[Versioned[policies_pb.Policy]]:
            entry.yaml = wanted.text
            return client.put_policy(entry, options)

        return await upon_version(client, tenant, version, put)

    written = at.ask(write)
    out = at.out()
    if how.dry_run:
        out.line(f"checked; {live} of {tenant} is as it was")
    else:
        out.line(f"version {written.value.version} of {tenant} is live; token {written.map_token.hex()}")
        out.line(f"back with: trunkline policy rollback --tenant {tenant}" if found is not None else "")
    out.data(written_data(written, changes=changes, applied=not how.dry_run, dry_run=how.dry_run))
