"""`trunkline policy lint` and `schema`: what needs no service."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from trunkline_cli.exits import CliError, Exit, guarded
from trunkline_cli.options import JsonOption
from trunkline_cli.output import Output

# trunkline_policy and PyYAML are imported where they are used: the other commands do without.

SCHEMA_FILE: Final = "trunkline-policy.schema.json"
FileArgument = Annotated[Path, typer.Argument(help="Policy, YAML.", exists=True, dir_okay=False)]


@guarded
def lint(
    files: Annotated[list[Path], typer.Argument(help="Policies, YAML.", exists=True, dir_okay=False)],
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings too.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Leave notes out.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Say what is wrong or doubtful in policies."""
    from trunkline_cli.policy.files import read_text
    from trunkline_cli.policy.findings import Linted, lint_text, show_findings

    out = Output(json_output)
    linted = [lint_text(str(path), read_text(path)) for path in files]
    if quiet:
        linted = [
            Linted(each.name, each.policy, [item for item in each.findings if item.level != "note"]) for each in linted
        ]
    for each in linted:
        show_findings(out, each)
    out.data({"files": [each.data() for each in linted]})
    if any(each.count("error") or (strict and each.count("warning")) for each in linted):
        raise typer.Exit(Exit.FAILED)


@guarded
def schema(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; standard output without.", dir_okay=False)
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Print the JSON schema of policies."""
    from trunkline_policy.schema import policy_schema

    text = json.dumps(policy_schema(), indent=2, ensure_ascii=False) + "\n"
    out = Output(json_output)
    if output is None:
        sys.stdout.write(text)
        return
    if output.suffix != ".json":
        raise CliError("--output must name a .json file, which editors know by its end", code=Exit.USAGE)
    output.write_text(text, encoding="utf-8")
    out.line(f"{output} written; as the first line of a policy this has editors check it while you write:")
    out.line(f"# yaml-language-server: $schema={output}")
    out.data({"file": str(output), "modeline": f"# yaml-language-server: $schema={output}"})
