"""`trunkline policy rollout`: a policy beside the live one, for nothing yet, for the record, or for a share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline_cli.commands.entries import add
from trunkline_cli.commands.policy_live import FileArgument, ShareOption
from trunkline_cli.exits import CliError, Exit
from trunkline_cli.groups import At, How, YesOption, confirm
from trunkline_cli.map_view import plain
from trunkline_client import ControlClient, Versioned

if TYPE_CHECKING:
    from trunkline_client.control import HowToChange

CANARY_SHARE: Final = 0.1
_STATES: Final = ("proposed", "shadow", "canary")
TenantName = Annotated[str, typer.Option("--tenant", help="Whose policy.")]


def start(
    file: FileArgument,
    tenant: TenantName,
    at: At,
    how: How,
    state: Annotated[str, typer.Option("--state", help="proposed, shadow or canary.")] = "shadow",
    share: ShareOption = None,
    yes: YesOption = False,
) -> None:
    """Begin a rollout."""
    from trunkline_cli.policy.files import read_policy

    begin(at, how, read_policy(file).text, tenant=tenant, state=state, share=share, yes=yes)


def begin(at: At, how: How, text: str, *, tenant: str, state: str, share: float | None, yes: bool) -> None:
    """Begin a rollout of a text. Raises CliError, TrunklineError."""
    rollout = policies_pb.Rollout(state=_state(state), share=_share(state, share), comment=how.comment)
    options = how.to_client()
    if not how.dry_run:
        confirm(f"Begin a rollout of {tenant}: {state} for {rollout.share:.0%} of the queries?", yes=yes, at=at)
    _show(at, at.ask(lambda client: client.put_rollout(tenant, rollout, text, options)), how)


def shadow(tenant: TenantName, at: At, how: How, share: ShareOption = None, yes: YesOption = False) -> None:
    """Let the rollout decide beside the live policy."""
    _move(at, how, tenant, "shadow", share, yes=yes)


def canary(tenant: TenantName, at: At, how: How, share: ShareOption = None, yes: YesOption = False) -> None:
    """Let the rollout decide a share of the queries."""
    _move(at, how, tenant, "canary", share, yes=yes)


def _move(at: At, how: How, tenant: str, state: str, share: float | None, *, yes: bool) -> None:
    from trunkline_cli.policy.live import rollout_of

    options = how.to_client()
    wanted = _share(state, share)
    if not how.dry_run:
        confirm(f"Let the rollout of {tenant} be {state} for {wanted:.0%} of the queries?", yes=yes, at=at)

    async def change(client: ControlClient) -> Versioned[policies_pb.Rollout]:
        rollout = await rollout_of(client, tenant)
        rollout.state, rollout.share = _state(state), wanted
        return await client.put_rollout(tenant, rollout, "", options)

    _show(at, at.ask(change), how)


def apply(tenant: TenantName, at: At, how: How, yes: YesOption = False) -> None:
    """Make the rollout's text the live policy."""
    _end(at, how, tenant, apply=True, yes=yes)


def drop(tenant: TenantName, at: At, how: How, yes: YesOption = False) -> None:
    """End the rollout; the live policy stays."""
    _end(at, how, tenant, apply=False, yes=yes)


def _end(at: At, how: How, tenant: str, *, apply: bool, yes: bool) -> None:
    from trunkline_cli.policy.live import written_data

    options: HowToChange = how.to_client()
    if not how.dry_run:
        confirm(
            f"{'Make the rollout of' if apply else 'Drop the rollout of'} {tenant}{' live' if apply else ''}?",
            yes=yes,
            at=at,
        )

    async def end(client: ControlClient) -> Versioned[policies_pb.Policy]:
        from trunkline_cli.policy.live import rollout_of

        rollout = await rollout_of(client, tenant)
        return await client.end_rollout(tenant, rollout.rollout_id, apply=apply, how=options)

    written = at.ask(end)
    out = at.out()
    what = f"version {written.value.version} of {tenant} is live" if apply else "the rollout is dropped"
    out.line("checked; nothing was changed" if how.dry_run else f"{what}; token {written.map_token.hex()}")
    out.data(written_data(written, applied=apply and not how.dry_run, dry_run=how.dry_run))


def show(tenant: TenantName, at: At) -> None:
    """Tell how far the rollout is."""
    from trunkline_cli.policy.live import rollout_lines, rollout_of

    rollout = at.ask(lambda client: rollout_of(client, tenant))
    out = at.out()
    for line in rollout_lines(rollout):
        out.line(line)
    out.data({"rollout": plain(rollout)})


def _show(at: At, found: Versioned[policies_pb.Rollout], how: How) -> None:
    from trunkline_cli.policy.live import rollout_lines

    out = at.out()
    if how.dry_run:
        out.line("checked; nothing was changed")
    else:
        for line in rollout_lines(found.value):
            out.line(line)
    out.data({"rollout": plain(found.value), "dry_run": how.dry_run, "map_token": found.map_token.hex()})


def _state(name: str) -> policies_pb.RolloutState.ValueType:
    from trunkline_cli.policy.live import STATES

    if name not in _STATES:
        raise CliError(f"a rollout is one of {', '.join(_STATES)}", code=Exit.USAGE)
    return STATES[name]


def _share(state: str, given: float | None) -> float:
    if given is not None:
        return given
    return CANARY_SHARE if state == "canary" else 1.0


def rollout_group() -> typer.Typer:
    """Return the commands."""
    group = typer.Typer(
        no_args_is_help=True, help="A policy beside the live one: proposed, in the shadow, for a share."
    )
    file = "policy.yaml --tenant acme"
    add(
        group,
        "start",
        start,
        "Begin a rollout: proposed does nothing yet, shadow decides beside the live policy for the record, canary "
        "decides a share of the queries.",
        f"trunkline policy rollout start {file} --state shadow",
    )
    for name, command, text, more in (
        ("shadow", shadow, "Let the rollout decide beside the live policy; its decisions are not used.", "--share 0.5"),
        ("canary", canary, "Let the rollout decide a share of the queries.", "--share 0.1"),
        ("apply", apply, "End the rollout: its text becomes the live policy, under a new version.", "--yes"),
        ("drop", drop, "End the rollout: its text is dropped, the live policy stays.", '--comment "worse on invoices"'),
        ("show", show, "Tell how far the rollout is, with the figures of its evaluation.", "--json"),
    ):
        add(group, name, command, text, f"trunkline policy rollout {name} --tenant acme {more}")
    return group
