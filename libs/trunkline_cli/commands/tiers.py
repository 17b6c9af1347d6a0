"""`trunkline tiers show` and `check`: the tier file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trunkline_cli.exits import CliError, Exit, guarded
from trunkline_cli.options import JsonOption
from trunkline_cli.output import Output

if TYPE_CHECKING:
    from trunkline_tiers import TierFile

# trunkline_tiers needs pydantic and PyYAML and is imported where it is used: the other commands do without.

FileArgument = Annotated[Path, typer.Argument(help="Tier file, YAML.", exists=True, dir_okay=False)]
FileOption = Annotated[
    Path | None,
    typer.Argument(help="Tier file; without one the defaults.", exists=True, dir_okay=False, envvar="TRUNKLINE_TIERS"),
]
YamlOption = Annotated[bool, typer.Option("--yaml", help="Print the file itself, comments included: a place to begin.")]

COLUMNS: Final = (
    "tier", "rank", "a minute", "a day", "pool a day", "lends", "borrows", "weight", "GPU", "queue", "in flight",
    "promise",
)  # fmt: skip


@guarded
def show(file: FileOption = None, yaml: YamlOption = False, json_output: JsonOption = False) -> None:
    """Tell what tiers are promised and held to.

    Example: trunkline tiers show --yaml > tiers.yaml
    """
    from trunkline_tiers import default_tiers_text

    out = Output(json_output)
    tiers = _read(file)
    if yaml and not json_output:
        text = default_tiers_text() if file is None else file.read_text(encoding="utf-8")
        for line in text.splitlines():
            out.line(line)
        return
    _show(out, tiers)
    told = {name: tiers.tiers[name].model_dump(mode="json") for name in tiers.by_rank}
    out.data({"tiers": told, "levels": tiers.levels.model_dump(mode="json")})


@guarded
def check(file: FileArgument, json_output: JsonOption = False) -> None:
    """Check a tier file before services read it.

    Example: trunkline tiers check tiers.yaml
    """
    out = Output(json_output)
    tiers = _read(file)
    _show(out, tiers)
    out.line(f"{file} is a tier file with {len(tiers.tiers)} tiers", style="bold")
    out.data({"file": str(file), "ok": True, "tiers": list(tiers.by_rank)})


def _read(file: Path | None) -> TierFile:
    from trunkline_tiers import TierFileError, read_tiers

    try:
        return read_tiers(file)
    except TierFileError as exc:
        raise CliError(
            str(exc), advice="`trunkline tiers show --yaml` prints one that is right", code=Exit.USAGE
        ) from None


def _show(out: Output, tiers: TierFile) -> None:
    rows = []
    for name in reversed(tiers.by_rank):
        tier = tiers.tiers[name]
        day = f"{tier.tenant.requests_per_day:,}{' and more' if tier.tenant.borrows_above_day else ''}"
        rows.append(
            (
                name,
                str(tier.rank),
                f"{tier.tenant.requests_per_minute:,g}",
                day,
                f"{tier.pool.requests_per_day:,}",
                f"{tier.pool.lendable_percent:g} %",
                f"{tier.pool.borrowing_limit_percent:g} %",
                f"{tier.capacity.weight:g}",
                f"{tier.capacity.gpu_weight:g}",
                f"{tier.capacity.queue_length:,}",
                f"{tier.capacity.in_flight_per_key}/{tier.capacity.in_flight_per_instance}",
                f"{tier.objective.p95_ms:g} ms, {tier.objective.availability:.3%}",
            )
        )
    out.table(COLUMNS, rows)


def tiers_group() -> typer.Typer:
    """Return the commands."""
    group = typer.Typer(no_args_is_help=True, help="The tier file: what tiers are promised and held to.")
    group.command("show")(show)
    group.command("check")(check)
    return group
