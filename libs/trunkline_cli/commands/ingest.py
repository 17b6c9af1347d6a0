"""`trunkline ingest`: text files into a collection."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from trunkline_cli.commands.collection_map import split_list, write_collection
from trunkline_cli.exits import CliError, Exit, guarded
from trunkline_cli.ingest.documents import Source
from trunkline_cli.ingest.run import Ingestion, IngestPlan, IngestReport
from trunkline_cli.ingest.state import IngestState, state_path
from trunkline_cli.options import (
    ControlOption,
    JsonOption,
    NearOption,
    RouterOption,
    RunDirOption,
    TenantOption,
    TokenFileOption,
    TokenOption,
)
from trunkline_cli.output import Output, progress
from trunkline_cli.target import Target, TargetOptions
from trunkline_text import ChunkPolicy, FileLimits


@guarded
def ingest(
    path: Annotated[Path, typer.Argument(help="A Markdown, text, HTML or reStructuredText file, or a folder.")],
    collection: Annotated[str, typer.Option("--collection", "-c", help="Collection to write to.")],
    create: Annotated[bool, typer.Option("--create", help="Create or replace the collection's entry first.")] = False,
    placement: Annotated[
        str, typer.Option("--placement", help="With --create: regions, primary first; all of the stack by default.")
    ] = "",
    jurisdictions: Annotated[
        str, typer.Option("--jurisdictions", help="With --create: where the data may be; the tenant's by default.")
    ] = "",
    description: Annotated[str, typer.Option("--description", help="With --create: what it is about.")] = "",
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete documents of earlier runs whose text is gone.")
    ] = False,
    state_file: Annotated[Path | None, typer.Option("--state", help="Where to note what was sent.")] = None,
    target_chars: Annotated[int, typer.Option(help="Wished size of a piece in characters.")] = 900,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Batches under way at once.")] = 2,
    deadline_s: Annotated[float, typer.Option("--deadline", help="Seconds for each batch.")] = 30.0,
    tenant: TenantOption = None,
    routers: RouterOption = None,
    control: ControlOption = None,
    near: NearOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    run_dir: RunDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Cut files into pieces and write them; a repeat sends only what changed since."""
    target = Target(
        TargetOptions(
            run_dir=run_dir,
            routers=routers or (),
            control=control,
            token=token,
            token_file=token_file,
            tenant=tenant,
            near=near,
        )
    )
    limits = FileLimits()
    try:
        source = Source.find(path, limits)
        policy = ChunkPolicy(target_chars=target_chars, max_chars=max(1300, target_chars * 3 // 2 + 125))
    except FileNotFoundError:
        raise CliError(f"nothing is at {path}", code=Exit.USAGE) from None
    except ValueError as exc:
        raise CliError(str(exc), code=Exit.USAGE) from None
    state = IngestState.load(state_file or _state_path(target, collection, source.root))
    plan = IngestPlan(
        collection=collection, policy=policy, limits=limits, workers=workers, deadline_s=deadline_s, prune=prune
    )
    map_token = b""
    if create:
        map_token = asyncio.run(_create(target, collection, placement, jurisdictions, description))
    out = Output(json_output)
    report = _run(target, source, state, plan, map_token)
    _show(out, report, plan, complete=source.complete)
    out.data(asdict(report))


def _run(target: Target, source: Source, state: IngestState, plan: IngestPlan, map_token: bytes) -> IngestReport:
    async def run() -> IngestReport:
        with progress("ingesting") as view:

            def told(done: int, total: int, report: IngestReport) -> None:
                view.update(done, total, f"files, {report.written} written, {report.unchanged} unchanged")

            async with target.client() as client:
                client.read_after(map_token)  # a collection made just now is known where it is written
                return await Ingestion(client, source, state, plan, told).run()

    return asyncio.run(run())


async def _create(target: Target, collection: str, placement: str, jurisdictions: str, description: str) -> bytes:
    regions = split_list(placement)
    if not regions:
        if not target.is_local:
            raise CliError("--create needs --placement", code=Exit.USAGE)
        regions = [region.region_id for region in target.stack().regions]
    async with target.control() as client:
        written = await write_collection(
            client,
            tenant=target.tenant,
            name=collection,
            placement=regions,
            jurisdictions=split_list(jurisdictions),
            space="minilm",
            description=description,
        )
    return written.map_token


def _state_path(target: Target, collection: str, root: Path) -> Path:
    if target.is_local:
        # Beside the stack's data, so that a stack that begins afresh is filled afresh.
        folder = target.stack().run_dir / "data" / "ingest"
        routers = "local"
    else:
        base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        folder = Path(base) / "trunkline" / "ingest"
        routers = ",".join(sorted(address.target for address in target.routers()))
    return state_path(folder, tenant=target.tenant, collection=collection, root=root, routers=routers)


def _show(out: Output, report: IngestReport, plan: IngestPlan, *, complete: bool) -> None:
    for problem in report.problems:
        out.line(f"passed over: {problem}", style="yellow")
    out.line(
        f"{report.files} files: {report.written} documents written, {report.unchanged} unchanged, "
        f"{report.deleted} deleted"
    )
    if report.vanished > report.deleted:
        left = report.vanished - report.deleted
        advice = (
            "--prune deletes them" if complete and not plan.prune else "not deleted, because files were passed over"
        )
        out.line(f"{left} documents of earlier runs are gone from the files; {advice}")
