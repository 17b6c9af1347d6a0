"""`trunkline policy test`, `report` and `learn`: what learners measure."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trunkline_cli.exits import CliError, Exit
from trunkline_cli.groups import At
from trunkline_cli.options import LearnerOption
from trunkline_cli.output import progress

if TYPE_CHECKING:
    from trunkline_cli.policy.files import PolicyText
    from trunkline_cli.policy.labelled import Labelled
    from trunkline_cli.policy.learners import Evaluated

# trunkline_policy is imported where it is used: the other commands do without.

TenantName = Annotated[str, typer.Option("--tenant", help="Whose policy.")]


def decide_labelled(
    tenant: TenantName,
    at: At,
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Labelled queries, .jsonl or .csv; the policy's golden set without.", exists=True, dir_okay=False
        ),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="Policy to test; the live one without.", exists=True, dir_okay=False)
    ] = None,
    min_accuracy: Annotated[
        float | None, typer.Option("--min-accuracy", min=0, max=1, help="Fail below this share of right decisions.")
    ] = None,
    fit: Annotated[bool, typer.Option("--fit", help="Fit the thresholds to the queries and print them.")] = False,
    write: Annotated[bool, typer.Option("--write", help="With --fit and --policy: write them into the file.")] = False,
    learner: LearnerOption = None,
) -> None:
    """Decide labelled queries and tell how well."""
    from trunkline_cli.policy.files import read_policy
    from trunkline_cli.policy.measure_view import evaluation_data, show_evaluation

    if write and not (fit and policy is not None):
        raise CliError("--write needs --fit and --policy FILE", code=Exit.USAGE)
    tested = _live(at, tenant) if policy is None else read_policy(policy)
    evaluated = _evaluated(at, tenant, tested, _queries(file, tested), learner or (), of_live=policy is None)
    out = at.out()
    show_evaluation(out, evaluated)
    fitted = _fit(at, tested, evaluated, policy if write else None) if fit else {}
    data = evaluation_data(evaluated)
    failed = min_accuracy is not None and data["figures"]["accuracy"] < min_accuracy
    out.data({"tenant": tenant, "policy": tested.name, **data, **fitted, "failed": failed})
    if failed:
        out.line(f"accuracy is below {min_accuracy:.1%}", style="red")
        raise typer.Exit(Exit.FAILED)


def _queries(file: Path | None, tested: PolicyText) -> list[Labelled]:
    from trunkline_cli.policy.labelled import golden_of, read_labelled

    queries = read_labelled(file) if file is not None else golden_of(tested.policy)
    if not queries:
        raise CliError(f"{tested.name} has no golden set", advice="name a file of labelled queries", code=Exit.USAGE)
    return queries


def _live(at: At, tenant: str) -> PolicyText:
    from trunkline_cli.policy.live import text_of

    found = at.ask(lambda client: client.policy(tenant))
    return text_of(found.value, f"live version {found.value.version}")


def _evaluated(
    at: At, tenant: str, tested: PolicyText, queries: list[Labelled], learners: list[str] | tuple[()], *, of_live: bool
) -> Evaluated:
    from trunkline_cli.policy.learners import evaluate, learning_client

    async def run() -> Evaluated:
        async with await learning_client(at.target(tenant), learners, tenant) as client:
            with progress("deciding") as view:
                return await evaluate(client, tenant, "" if of_live else tested.text, queries, view.update)

    return asyncio.run(run())


def _fit(at: At, tested: PolicyText, evaluated: Evaluated, write_to: Path | None) -> dict[str, object]:
    from trunkline_cli.policy.fit import fitted_thresholds
    from trunkline_cli.policy.thresholds import thresholds_text, written_into

    fitted = fitted_thresholds(tested.policy, evaluated)
    text = thresholds_text(fitted.thresholds)
    out = at.out()
    for reason in fitted.reasons:
        out.line(reason, style="dim")
    low, high = fitted.expected_low, fitted.expected_high
    out.line(
        f"accuracy to be expected of other queries: {fitted.expected_accuracy:.1%} (95 %: {low:.1%} to {high:.1%})"
    )
    out.line(text.rstrip("\n"))
    if write_to is not None:
        write_to.write_text(written_into(tested.text, fitted.thresholds), encoding="utf-8")
        out.line(f"written into {write_to}")
    return {
        "fitted": fitted.thresholds.model_dump(),
        "expected_accuracy": fitted.expected_accuracy,
        "reached": fitted.reached,
        "reasons": list(fitted.reasons),
        "written": write_to is not None,
    }
