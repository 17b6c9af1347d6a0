"""`trunkline stage off` and `on`: kill switches of stages, for a tenant, for a region, or for all regions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Final, NamedTuple

import typer

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_cli.commands.entries import add
from trunkline_cli.exits import CliError, Exit
from trunkline_cli.groups import At, How
from trunkline_cli.stages import SWITCHES, stage_names
from trunkline_cli.tenant.change import rewrite
from trunkline_client import ControlClient
from trunkline_client.control import HowToChange

StageArgument = Annotated[str, typer.Argument(help=f"One of {', '.join(SWITCHES)}.")]
TenantOption = Annotated[str | None, typer.Option("--tenant", help="For this tenant, everywhere.")]
RegionOption = Annotated[list[str] | None, typer.Option("--region", help="For all tenants in this region; repeat it.")]
EverywhereOption = Annotated[bool, typer.Option("--everywhere", help="For all tenants in every region of the map.")]

Switched = tuple[str, Sequence[str]]
"""Whose stages, and which are off now."""

_SCOPES: Final = "exactly one of --tenant, --region and --everywhere must say for whom"


class Turn(NamedTuple):
    """One switch, turned."""

    stage: trail_pb.StageName.ValueType
    on: bool

    def of(self, disabled: Iterable[trail_pb.StageName.ValueType]) -> Sequence[trail_pb.StageName.ValueType]:
        """Return which stages are off afterwards."""
        others = {*disabled} - {self.stage}
        return sorted(others if self.on else {*others, self.stage})


def off(
    stage: StageArgument,
    at: At,
    how: How,
    tenant: TenantOption = None,
    region: RegionOption = None,
    everywhere: EverywhereOption = False,
) -> None:
    """Switch a stage off."""
    _switch(stage, at, how, (tenant, region or (), everywhere), on=False)


def on(
    stage: StageArgument,
    at: At,
    how: How,
    tenant: TenantOption = None,
    region: RegionOption = None,
    everywhere: EverywhereOption = False,
) -> None:
    """Switch a stage on again."""
    _switch(stage, at, how, (tenant, region or (), everywhere), on=True)


def _switch(stage: str, at: At, how: How, scope: tuple[str | None, Sequence[str], bool], *, on: bool) -> None:
    tenant, regions, everywhere = scope
    number = SWITCHES.get(stage)
    if number is None:
        raise CliError(f"STAGE must be one of {', '.join(SWITCHES)}, not {stage!r}", code=Exit.USAGE)
    if [bool(tenant), bool(regions), everywhere].count(True) != 1:
        raise CliError(_SCOPES, code=Exit.USAGE)
    how_to, turn = how.to_client(), Turn(number, on)

    async def work(client: ControlClient) -> list[Switched]:
        if tenant:
            return [await _switch_tenant(client, tenant, turn, how_to)]
        names = [each.region_id for each in (await client.regions()).value] if everywhere else regions
        return [await _switch_region(client, name, turn, how_to) for name in names]

    out = at.out()
    switched = at.ask(work)
    would = "would be " if how.dry_run else ""
    for subject, stages in switched:
        out.line(f"{subject}: {stage} {would}{'on' if on else 'off'} (off there: {', '.join(stages) or 'nothing'})")
    out.data(
        {
            "stage": stage,
            "on": on,
            "dry_run": how.dry_run,
            "off_now": {subject: list(stages) for subject, stages in switched},
        }
    )


async def _switch_tenant(client: ControlClient, name: str, turn: Turn, how: HowToChange) -> Switched:
    def change(entry: entries_pb.Tenant) -> entries_pb.Tenant:
        changed = entries_pb.Tenant()
        changed.CopyFrom(entry)
        changed.disabled_stages[:] = turn.of(entry.disabled_stages)
        return changed

    made = await rewrite(lambda: client.tenant(name), change, lambda wanted: client.put_tenant(wanted, how))
    return f"tenant {name}", stage_names(made.after.value.disabled_stages)


async def _switch_region(client: ControlClient, name: str, turn: Turn, how: HowToChange) -> Switched:
    def change(entry: entries_pb.Region) -> entries_pb.Region:
        changed = entries_pb.Region()
        changed.CopyFrom(entry)
        changed.disabled_stages[:] = turn.of(entry.disabled_stages)
        return changed

    made = await rewrite(lambda: client.region(name), change, lambda wanted: client.put_region(wanted, how))
    return f"region {name}", stage_names(made.after.value.disabled_stages)


def stage_group() -> typer.Typer:
    """Return the commands."""
    group = typer.Typer(no_args_is_help=True, help="Kill switches: leaves a stage of searches out, at once.")
    add(
        group,
        "off",
        off,
        "Switch a stage off, for a tenant, a region, or everywhere; routers follow within a second. Searches go on "
        "without it and tell so (STAGE_DISABLED); without retrieval or write they are refused.",
        'trunkline stage off rerank --region eu-west --comment "the model is ill"',
    )
    add(
        group,
        "on",
        on,
        "Switch a stage on again.",
        "trunkline stage on rerank --region eu-west",
    )
    return group
