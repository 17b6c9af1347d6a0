"""`trunkline policy draft`: a policy out of documents."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trunkline_cli.exits import CliError, Exit, guarded
from trunkline_cli.map_entries import split_given
from trunkline_cli.options import (
    ControlOption,
    JsonOption,
    RouterOption,
    RunDirOption,
    TenantOption,
    TokenFileOption,
    TokenOption,
)
from trunkline_cli.output import Output, progress
from trunkline_cli.target import Target, TargetOptions

if TYPE_CHECKING:
    from trunkline_cli.policy.drafts import Gathered

# trunkline_policy is imported where it is used: the other commands do without.


@guarded
def draft(
    folder: Annotated[
        Path | None, typer.Option("--from", help="Folder with one subfolder of texts for each collection.")
    ] = None,
    collections: Annotated[
        str | None, typer.Option("--collections", help="Live collections, comma separated; all of the tenant without.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; standard output without.", dir_okay=False)
    ] = None,
    count: Annotated[int, typer.Option("--documents", min=1, max=256, help="Documents of each to look at.")] = 128,
    language: Annotated[
        str, typer.Option("--language", help="Of the keywords' endings; none to keep words.")
    ] = "english",
    tenant: TenantOption = None,
    routers: RouterOption = None,
    control: ControlOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    run_dir: RunDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Propose a policy from the documents of the collections."""
    if folder is None and tenant is None:
        raise CliError("a draft needs --from FOLDER or --tenant TENANT", code=Exit.USAGE)
    if folder is not None and collections is not None:
        raise CliError("--collections are live ones; --from reads folders", code=Exit.USAGE)
    from trunkline_cli.policy.drafts import drafted, read_folders

    out = Output(json_output)
    if folder is not None:
        with progress("reading") as view:
            gathered, origin = read_folders(folder, count, view.update), f"folder {folder.name}"
    else:
        options = TargetOptions(
            run_dir=run_dir, routers=routers or (), control=control, token=token, token_file=token_file, tenant=tenant
        )
        gathered = asyncio.run(_sampled(Target(options), split_given(collections), count))
        origin = f"tenant {tenant}"
    _write(out, drafted(gathered, origin, language), gathered, output)


async def _sampled(target: Target, names: list[str] | None, count: int) -> Gathered:
    from trunkline_cli.policy.drafts import sample_live

    async with target.control() as control:
        entries = (await control.collections(target.tenant)).value
    known = {entry.collection_id: entry.description for entry in entries}
    if unknown := sorted(set(names or ()) - set(known)):
        raise CliError(f"{target.tenant} has no collections {', '.join(unknown)}", code=Exit.USAGE)
    wanted = {name: text for name, text in known.items() if names is None or name in names}
    with progress("sampling") as view:
        async with target.client(roles=("admin",)) as client:
            return await sample_live(client, wanted, count, view.update)


def _write(out: Output, text: str, gathered: Gathered, output: Path | None) -> None:
    for problem in gathered.problems:
        sys.stderr.write(f"passed over: {problem}\n")
    if output is not None:
        output.write_text(text, encoding="utf-8")
        out.line(f"{output}: a policy of {len(gathered.documents)} collections from {gathered.count:,} documents")
        out.line(f"next: trunkline policy lint {output}")
    elif not out.as_json:
        sys.stdout.write(text)
    out.data(
        {
            "file": None if output is None else str(output),
            "yaml": text,
            "documents": {name: len(texts) for name, texts in gathered.documents.items()},
            "problems": gathered.problems,
        }
    )
