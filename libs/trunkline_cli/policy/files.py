"""Reads a policy's file, and says where in it something is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trunkline_cli.exits import CliError, Exit
from trunkline_cli.output import one_line
from trunkline_cli.policy.lines import Lines
from trunkline_mesh.errors import FieldInvalid
from trunkline_policy.document import parse_policy
from trunkline_policy.limits import MAX_POLICY_BYTES

if TYPE_CHECKING:
    from trunkline_policy.model import RoutingPolicy

INVALID: Final = "invalid"
"""Code of what makes a text no policy at all; lint has its own codes."""
_MESSAGE_CHARS: Final = 400


@dataclass(frozen=True, slots=True)
class Told:
    """Something about one place of a policy's text. `level`: error, warning or note; `line` from 1, None if unknown."""

    level: str
    code: str
    where: str
    line: int | None
    message: str

    def text(self, path: str) -> str:
        """Return it on one line, as compilers do, so that editors can jump there."""
        place = f"{path}:{self.line}" if self.line else path
        return one_line(f"{place}: {self.level} {self.code}: {self.message} ({self.where or 'policy'})", _MESSAGE_CHARS)

    def data(self) -> Mapping[str, Any]:
        """Return it as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PolicyText:
    """A policy with its text and where that came from."""

    name: str
    text: str
    policy: RoutingPolicy


def read_text(path: Path) -> str:
    """Return a policy file's text, unchecked. Raises CliError if it is too large or not UTF-8, OSError."""
    with path.open("rb") as stream:
        data = stream.read(MAX_POLICY_BYTES + 1)
    if len(data) > MAX_POLICY_BYTES:
        raise CliError(f"{path} is larger than {MAX_POLICY_BYTES:,} bytes", code=Exit.USAGE)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CliError(f"{path} is not UTF-8", code=Exit.USAGE) from None


def read_policy(path: Path) -> PolicyText:
    """Return the policy in a file. Raises CliError that names every place that is wrong, with its line."""
    text = read_text(path)
    return PolicyText(str(path), text, parsed(text, str(path)))


def parsed(text: str, name: str) -> RoutingPolicy:
    """Return a text's policy. Raises CliError that names every place that is wrong."""
    try:
        return parse_policy(text)
    except FieldInvalid as exc:
        told = "; ".join(item.text(name) for item in problems(exc, text))
        raise CliError(told, advice="`trunkline policy schema` helps editors to say so while you write") from None


def problems(failure: FieldInvalid, text: str) -> Sequence[Told]:
    """Return what makes a text no policy, place by place."""
    lines = Lines(text)
    found = [
        Told("error", INVALID, field.rpartition(":")[2], lines.of(field), description)
        for field, description in failure.violations
    ]
    return found or [Told("error", INVALID, "", None, failure.message)]
