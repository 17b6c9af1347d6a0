"""`trunkline policy lint`, `schema`, `draft --from` and `diff` of two files: they need no service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner, Result

from trunkline_cli.app import app
from trunkline_cli.demo.scenario import TENANTS
from trunkline_policy.document import parse_policy

CLEAN = TENANTS[0].policy()
CONTRADICTION = """\
version: 2
collections:
  files:
    description: Files and folders.
    examples: [Copy a folder, Remove a file, List a folder, Open a file, Rename a file]
  formats:
    description: Formats.
    examples: [Copy a folder, Read CSV, Write JSON, Parse XML, Load TOML]
"""


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["policy", *arguments])


def _data(*arguments: str) -> Any:
    return json.loads(_run(*arguments, "--json").stdout)


def _file(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_what_is_no_policy_fails_with_the_line(tmp_path: Path) -> None:
    """As compilers tell it: file, line, level, code, message, path."""
    path = _file(tmp_path, "p.yaml", "version: 2\ncollections:\n  files:\n    keywords: 3\n")

    result = _run("lint", path)

    assert result.exit_code == 1
    assert result.stdout.startswith(f"{path}:4: error invalid: ")
    assert "(collections.files.keywords)" in result.stdout
    assert result.stdout.splitlines()[-1] == f"{path}: 1 error, 0 warnings, 0 notes"


def test_findings_have_lines_and_strict_fails_on_warnings(tmp_path: Path) -> None:
    """An example of two collections contradicts itself; without --strict warnings alone do not fail."""
    path = _file(tmp_path, "p.yaml", CONTRADICTION)

    found = _data("lint", path)["files"][0]

    contradicting = [item for item in found["findings"] if item["line"] in (5, 8) and item["level"] != "note"]
    assert contradicting
    assert _run("lint", path).exit_code == (1 if found["errors"] else 0)
    assert _run("lint", path, "--strict").exit_code == 1


def test_notes_can_be_left_out(tmp_path: Path) -> None:
    """Several files are judged in one run."""
    paths = [_file(tmp_path, name, CLEAN) for name in ("a.yaml", "b.yaml")]

    found = _data("lint", *paths, "--quiet")["files"]

    assert [item["file"] for item in found] == paths
    assert all(item["level"] != "note" for each in found for item in each["findings"])


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    """And what is far too large is not read."""
    (tmp_path / "latin.yaml").write_bytes(b"version: 2 # caf\xe9\n")
    (tmp_path / "large.yaml").write_bytes(b"#" * (2 * 1024 * 1024 + 1))

    for name, told in (("latin.yaml", "is not UTF-8"), ("large.yaml", "is larger than")):
        result = _run("lint", str(tmp_path / name))
        assert (result.exit_code, told in result.stderr) == (2, True)


def test_the_schema_takes_the_demonstration_s_policies(tmp_path: Path) -> None:
    """Printed, or written with the line that editors want."""
    path = tmp_path / "schema.json"

    written = _run("schema", "-o", str(path))

    assert f"# yaml-language-server: $schema={path}" in written.stdout
    schema = json.loads(path.read_text())
    assert json.loads(_run("schema").stdout) == schema
    for tenant in TENANTS:
        jsonschema.validate(yaml.safe_load(tenant.policy()), schema)
    assert _run("schema", "-o", str(tmp_path / "schema.txt")).exit_code == 2


def test_a_draft_of_folders_is_a_policy_that_tells_them_apart(tmp_path: Path) -> None:
    """One collection for each subfolder, with keywords of its own, and comments that say what it is."""
    _folders(tmp_path)
    target = tmp_path / "policy.yaml"

    result = _run("draft", "--from", str(tmp_path / "docs"), "-o", str(target))

    assert result.exit_code == 0, result.output
    text = target.read_text()
    policy = parse_policy(text)
    assert set(policy.collections) == {"sea-animals", "trees"}
    assert policy.strategy == "hybrid"
    assert any("otter" in item.text.lower() for item in policy.collections["sea-animals"].keywords)
    assert text.startswith("# A draft, made from ")
    assert "passed over: empty: no text was found" in result.stderr
    assert _run("draft", "--from", str(tmp_path / "docs")).stdout == text


def _folders(folder: Path) -> None:
    texts = {
        "Sea Animals": ["Otters eat crabs.", "Otters hold hands while they sleep.", "Otters dive for sea urchins."],
        "trees": ["Sequoias are the largest trees.", "Sequoias grow in groves.", "Sequoias need fires to seed."],
    }
    for name, bodies in texts.items():
        (folder / "docs" / name).mkdir(parents=True)
        for number, body in enumerate(bodies):
            (folder / "docs" / name / f"{number}.md").write_text(f"# Part {number}\n\n{body}\n")
    (folder / "docs" / "empty").mkdir()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["draft"], "needs --from FOLDER or --tenant"),
        (["draft", "--from", "nowhere"], "is no folder"),
        (["draft", "--from", ".", "--collections", "a"], "--collections are live ones"),
    ],
)
def test_a_draft_needs_documents(arguments: list[str], told: str) -> None:
    """A wrong use is told as one."""
    result = _run(*arguments)

    assert result.exit_code == 2
    assert told in result.stderr


def test_two_files_are_compared(tmp_path: Path) -> None:
    """By meaning: another order or layout of the same is no difference."""
    old = _file(tmp_path, "old.yaml", "version: 2\ncollections: {a: {keywords: [x, y]}, b: {}}\n")
    same = _file(tmp_path, "same.yaml", "collections:\n  b: {}\n  a:\n    keywords: [x, y]\nversion: 2\n")
    new = _file(tmp_path, "new.yaml", "version: 2\nmax_collections: 3\ncollections: {a: {keywords: [x, z]}, b: {}}\n")

    assert _data("diff", same, old)["changes"] == []
    assert "nothing differs" in _run("diff", same, old).stdout
    changed = {item["where"] for item in _data("diff", new, old)["changes"]}
    assert "max_collections" in changed
    assert any(where.startswith("collections.a.keywords") for where in changed)
    assert _run("diff", new).exit_code == 2
    assert _run("diff", new, old, "--tenant", "acme").exit_code == 2
