"""`trunkline feedback`: tells how good a decision was."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from trunkline_cli.exits import CliError, Exit, guarded
from trunkline_cli.options import (
    JsonOption,
    NearOption,
    RouterOption,
    RunDirOption,
    TenantOption,
    TokenFileOption,
    TokenOption,
)
from trunkline_cli.output import Output
from trunkline_cli.target import Target, TargetOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

_FORM = "COLLECTION or COLLECTION/DOCUMENT; repeat it."


@guarded
def feedback(
    decision_id: Annotated[str, typer.Argument(help="Id of the decision, as `search --json` and --explain print it.")],
    text: Annotated[
        str, typer.Option("--text", help="The question, word for word; without it nothing is learned.")
    ] = "",
    accepted: Annotated[list[str] | None, typer.Option("--accepted", help=f"Taken as the answer: {_FORM}")] = None,
    clicked: Annotated[list[str] | None, typer.Option("--clicked", help=f"Looked at: {_FORM}")] = None,
    rejected: Annotated[list[str] | None, typer.Option("--rejected", help=f"Turned down: {_FORM}")] = None,
    corrected: Annotated[str, typer.Option("--corrected", help="Collection where the question belonged.")] = "",
    tenant: TenantOption = None,
    routers: RouterOption = None,
    near: NearOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    run_dir: RunDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Tell how good a decision was, so that the policy can be measured and learn.

    Example: trunkline feedback DECISION_ID --text "How do I read CSV?" --accepted data-formats/csv#1
    """
    results = [_results(accepted), _results(clicked), _results(rejected)]
    if not (corrected or any(results)):
        raise CliError("feedback needs --accepted, --clicked, --rejected or --corrected", code=Exit.USAGE)
    options = TargetOptions(
        run_dir=run_dir, routers=routers or (), token=token, token_file=token_file, tenant=tenant, near=near
    )
    kept, replaced = asyncio.run(_send(Target(options), decision_id, text, results, corrected))
    out = Output(json_output)
    out.line(
        "replaced what you said before" if replaced else "noted" if kept else "counted; nothing is learned from it"
    )
    out.data({"kept": kept, "replaced": replaced})


def _results(given: list[str] | None) -> list[tuple[str, str]]:
    found = []
    for item in given or ():
        collection, _, document = item.partition("/")
        if not collection:
            raise CliError(f"{item!r} is not COLLECTION or COLLECTION/DOCUMENT", code=Exit.USAGE)
        found.append((collection, document))
    return found


async def _send(
    target: Target, decision_id: str, text: str, results: Sequence[Sequence[tuple[str, str]]], corrected: str
) -> tuple[bool, bool]:
    accepted, clicked, rejected = results
    async with target.client() as client:
        answer = await client.feedback(
            decision_id, text=text, accepted=accepted, clicked=clicked, rejected=rejected, corrected=corrected
        )
        return answer.kept, answer.replaced
