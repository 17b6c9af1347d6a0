"""`trunkline approval`: changes that wait for a second person."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from trunkline.control.v1 import approval_service_pb2 as approvals_pb
from trunkline_cli.commands.entries import add
from trunkline_cli.groups import At, YesOption, confirm
from trunkline_cli.map_view import plain
from trunkline_cli.output import Output, one_line

ApprovalId = Annotated[str, typer.Argument(help="As the refusal named it, 32 hexadecimal digits.")]

_PREFIX: Final = "APPROVAL_STATE_"


def list_them(at: At) -> None:
    """List approvals."""
    found = at.ask(lambda client: client.approvals())
    out = at.out()
    for each in found:
        _show(out, each)
    if not found:
        out.line("no change waits for a second person")
    out.data({"approvals": [plain(each) for each in found]})


def approve(approval_id: ApprovalId, at: At, yes: YesOption = False) -> None:
    """Approve a change."""
    if not yes:
        waiting = {each.approval_id: each for each in at.ask(lambda client: client.approvals())}
        if approval_id in waiting:
            _show(at.out(), waiting[approval_id])
        confirm("Approve it?", yes=yes, at=at)
    _decided(at, at.ask(lambda client: client.approve(approval_id)))


def reject(approval_id: ApprovalId, at: At) -> None:
    """Reject a change."""
    _decided(at, at.ask(lambda client: client.reject(approval_id)))


def _decided(at: At, approval: approvals_pb.Approval) -> None:
    out = at.out()
    _show(out, approval)
    out.data({"approval": plain(approval)})


def _show(out: Output, each: approvals_pb.Approval) -> None:
    state = approvals_pb.ApprovalState.Name(each.state).removeprefix(_PREFIX).lower()
    comment = f': "{one_line(each.comment, 256)}"' if each.comment else ""
    decided = f" by {each.decider}" if each.decider else ""
    until = each.expire_time.ToDatetime().isoformat(sep=" ", timespec="seconds")
    out.line(
        f"{each.approval_id} {state}{decided}: {each.summary}, asked for by {each.requester}{comment}; until {until}"
    )


def approval_group() -> typer.Typer:
    """Return the commands."""
    group = typer.Typer(no_args_is_help=True, help="Changes of the map that wait for a second person.")
    add(group, "list", list_them, "List changes that wait, and approvals not used yet.", "trunkline approval list")
    add(
        group,
        "approve",
        approve,
        "Approve a change that another operator asked for; it is carried out when that one repeats it.",
        "trunkline approval approve 4f1c0a5e9b2d47c8a6e3f0d1b2c3d4e5 --yes",
    )
    add(
        group,
        "reject",
        reject,
        "Reject a change, or take your own back.",
        "trunkline approval reject 4f1c0a5e9b2d47c8a6e3f0d1b2c3d4e5",
    )
    return group
