"""`trunkline demo`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from trunkline_cli.exits import Exit, guarded
from trunkline_cli.options import JsonOption
from trunkline_cli.output import Output


@guarded
def demo(
    count: Annotated[int, typer.Option("--documents", min=100, help="Pieces of documentation to ingest.")] = 2400,
    json_output: JsonOption = False,
) -> None:
    """Run the main job on real input: three regions and tenants, questions, a policy that learns, a lost region."""
    from trunkline_cli.demo.run import run_demo, show_summary, summary

    out = Output(json_output)
    try:
        tally = asyncio.run(run_demo(out, count))
    except asyncio.CancelledError:  # SIGTERM
        raise typer.Exit(Exit.INTERRUPTED) from None
    show_summary(out, tally)
    out.data(summary(tally))
    raise typer.Exit(Exit.FAILED if tally.failed_checks else Exit.OK)
