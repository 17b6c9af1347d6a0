"""Options that come in groups: a command takes one parameter for all of a group, and the command line shows each.

    @grouped
    def drain(name: RegionName, at: At, how: How) -> None: ...

takes `--control`, `--token`, ... for `at` and `--dry-run`, `--comment`, `--urgent`, `--approval` for `how`. Further
groups are made known with `option_group`.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, ParamSpec, TypeVar

import typer

from trunkline_cli.exits import CliError, Exit, guarded
from trunkline_cli.options import ControlOption, JsonOption, RunDirOption, TokenFileOption, TokenOption
from trunkline_cli.output import Output
from trunkline_cli.target import Target, TargetOptions
from trunkline_client import ControlClient
from trunkline_client.control import HowToChange

P = ParamSpec("P")
T = TypeVar("T")

MAX_COMMENT_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class At:
    """Where the control role is, with which credential to ask it, and how to print."""

    control: str | None
    token: str | None
    token_file: Path | None
    run_dir: Path | None
    json_output: bool

    def out(self) -> Output:
        """Return what prints the result."""
        return Output(self.json_output)

    def target(self, tenant: str | None = None) -> Target:
        """Return where to go; development tokens of a tenant's own are for `tenant`."""
        options = TargetOptions(
            run_dir=self.run_dir, control=self.control, token=self.token, token_file=self.token_file, tenant=tenant
        )
        return Target(options)

    def ask(self, work: Callable[[ControlClient], Awaitable[T]]) -> T:
        """Run `work` with a client of the control role. Raises CliError, TrunklineError."""

        async def run() -> T:
            async with self.target().control() as client:
                return await work(client)

        return asyncio.run(run())


@dataclass(frozen=True, slots=True)
class How:
    """How a change is to be made."""

    dry_run: bool
    comment: str
    urgent: bool
    approval: str

    def to_client(self) -> HowToChange:
        """Return the client's options. Raises CliError for a comment that is too long."""
        if len(self.comment.encode()) > MAX_COMMENT_BYTES:
            raise CliError(f"--comment takes at most {MAX_COMMENT_BYTES} bytes", code=Exit.USAGE)
        return HowToChange(dry_run=self.dry_run, comment=self.comment, approval_id=self.approval, urgent=self.urgent)


DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Check everything and change nothing.")]
CommentOption = Annotated[str, typer.Option("--comment", help="Why, for the history; at most 256 bytes.")]
UrgentOption = Annotated[
    bool, typer.Option("--urgent", help="Do it although an error budget is nearly spent; the history tells it.")
]
ApprovalOption = Annotated[
    str, typer.Option("--approval", help="Id of the approval that another operator gave for this very change.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]


def option(name: str, default: object, annotation: object) -> inspect.Parameter:
    """Return one option of a group."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


_GROUPS: Final[dict[type, tuple[inspect.Parameter, ...]]] = {
    At: (
        option("control", None, ControlOption),
        option("token", None, TokenOption),
        option("token_file", None, TokenFileOption),
        option("run_dir", None, RunDirOption),
        option("json_output", False, JsonOption),
    ),
    How: (
        option("dry_run", False, DryRunOption),
        option("comment", "", CommentOption),
        option("urgent", False, UrgentOption),
        option("approval", "", ApprovalOption),
    ),
}


def option_group(group: type, *options: inspect.Parameter) -> None:
    """Make a further group known: a class whose fields are named as its options."""
    _GROUPS[group] = options


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with each group's options in the place of its parameter, and failures told in one line."""
    declared = inspect.signature(command, eval_str=True).parameters
    groups = {name: each.annotation for name, each in declared.items() if each.annotation in _GROUPS}
    own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for name, each in declared.items() if name not in groups]
    options = [option for group in groups.values() for option in _GROUPS[group]]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{option.name: given.pop(option.name) for option in _GROUPS[group]})
        command(**given)

    # typer reads the signature and, apart from it, the annotations.
    run.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]  # what inspect looks for
    run.__annotations__ = {each.name: each.annotation for each in (*own, *options)}
    del run.__wrapped__  # else the annotations of the command itself are read
    return guarded(run)


def confirm(question: str, *, yes: bool, at: At) -> None:
    """Ask before something dangerous; a program must say `--yes`. Raises CliError where the answer is no."""
    if yes:
        return
    if at.json_output or not at.out().console.is_terminal:
        raise CliError(f"{question} Nobody can be asked here", advice="add --yes", code=Exit.USAGE)
    if not typer.confirm(question):
        raise CliError("nothing was changed", code=Exit.INTERRUPTED)
