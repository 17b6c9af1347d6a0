"""`trunkline search` and `trunkline route`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from trunkline_cli.exits import CliError, Exit, guarded
from trunkline_cli.options import (
    CollectionsOption,
    DeadlineOption,
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
from trunkline_cli.views import route_data, search_data, show_route, show_search
from trunkline_client import Equals, Filter, Query, RouteResult, SearchResult, TrunklineClient

AllOption = Annotated[bool, typer.Option("--all", help="All of the tenant's collections, at most 64.")]
PreviousOption = Annotated[
    str, typer.Option("--previous", help="Id of the same session's decision before, for policies that look at it.")
]
TemplateOption = Annotated[
    bool, typer.Option("--expand-template", help="Show the chosen prompt template whole, not its name alone.")
]


@guarded
def search(
    text: Annotated[str, typer.Argument(help="The question.")],
    top_k: Annotated[int, typer.Option("--top-k", "-k", help="Results wanted, 1 to 100.")] = 5,
    collections: CollectionsOption = None,
    all_collections: AllOption = False,
    where: Annotated[
        list[str] | None, typer.Option("--where", help="Only documents whose field=value; repeat it.")
    ] = None,
    min_score: Annotated[float | None, typer.Option(help="Least cosine similarity.")] = None,
    primary: Annotated[
        bool, typer.Option("--primary", help="Only the first region of a placement may answer.")
    ] = False,
    allow_partial: Annotated[bool, typer.Option("--allow-partial", help="Take what can be searched.")] = False,
    rerank: Annotated[bool, typer.Option("--rerank/--no-rerank", help="Reorder the best candidates.")] = True,
    rerank_depth: Annotated[int, typer.Option(help="Candidates to reorder, 1 to 100; 0 for the default.")] = 0,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show reasons, steps of the decision and every region that was tried.")
    ] = False,
    previous: PreviousOption = "",
    expand_template: TemplateOption = False,
    deadline_s: DeadlineOption = None,
    tenant: TenantOption = None,
    routers: RouterOption = None,
    near: NearOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    run_dir: RunDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Find the best answers to a question, and show how they were found."""
    query = Query(
        text=text,
        top_k=top_k,
        collections=collections or (),
        all_collections=all_collections,
        filter=_filter(where or []),
        min_score=min_score,
        consistency="primary" if primary else "any",
        allow_partial=allow_partial,
        explain=explain,
        rerank=rerank,
        rerank_depth=rerank_depth,
        previous_decision_id=previous,
        expand_template=expand_template,
    )
    options = TargetOptions(
        run_dir=run_dir, routers=routers or (), token=token, token_file=token_file, tenant=tenant, near=near
    )
    result = asyncio.run(_search(Target(options).client(), query, deadline_s))
    out = Output(json_output)
    show_search(out, result, explain=explain)
    out.data(search_data(result))


async def _search(client: TrunklineClient, query: Query, deadline_s: float | None) -> SearchResult:
    async with client:
        return await client.search_query(query, deadline_s=deadline_s)


@guarded
def route(
    text: Annotated[str, typer.Argument(help="The question.")],
    collections: CollectionsOption = None,
    all_collections: AllOption = False,
    previous: PreviousOption = "",
    expand_template: TemplateOption = False,
    deadline_s: DeadlineOption = None,
    tenant: TenantOption = None,
    routers: RouterOption = None,
    near: NearOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    run_dir: RunDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show where a question would go and why; nothing is searched or charged."""
    options = TargetOptions(
        run_dir=run_dir, routers=routers or (), token=token, token_file=token_file, tenant=tenant, near=near
    )

    async def ask(client: TrunklineClient) -> RouteResult:
        async with client:
            return await client.route(
                text,
                collections=collections or [],
                all_collections=all_collections,
                previous_decision_id=previous,
                expand_template=expand_template,
                deadline_s=deadline_s,
            )

    result = asyncio.run(ask(Target(options).client()))
    out = Output(json_output)
    show_route(out, result)
    out.data(route_data(result))


def _filter(where: list[str]) -> Filter | None:
    conditions = []
    for item in where:
        field, equals, value = item.partition("=")
        if not (field and equals):
            raise CliError(f"--where needs field=value, not {item!r}", code=Exit.USAGE)
        conditions.append(Equals(field, value))
    return Filter(must=conditions) if conditions else None
