"""Every page: links, named files, code blocks, commands, and words that must not stand there."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from google.protobuf import descriptor_pool, json_format, message_factory
from tests.unit.docs.reading import ROOT, anchors, blocks, commands, grpcurl_call, links, named_files, pages

from trunkline_cli.app import app

PAGES = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages()]
CONTRACTS = sorted(path.relative_to(ROOT / "protos") for path in (ROOT / "protos").rglob("*_pb2.py"))
HOME_PATHS = re.compile(r"(?<![\w.$}])/(?:home|root|Users|mnt|srv)/")
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|TBD|XXX|lorem ipsum|coming soon)\b", re.IGNORECASE)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file of the project, and its anchor a heading there."""
    for link in links(page):
        target, _, anchor = link.partition("#")
        if re.match(r"https?://", target):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.is_relative_to(ROOT), f"{link} leaves the project"
        assert file.exists(), f"{link} does not exist"
        if anchor:
            assert anchor in anchors(file), f"{link} has no such heading"


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page: Path) -> None:
    """Files and folders of the project in backticks."""
    missing = [name for name in named_files(page) if not (ROOT / name).exists()]

    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_python_examples_compile_and_import_what_there_is(page: Path) -> None:
    """Each block is whole: it parses, and what it imports from us exists."""
    for block in blocks(page, "python"):
        tree = ast.parse(block)
        compile(tree, page.name, "exec")
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("trunkline"):
                module = importlib.import_module(node.module or "")
                assert all(hasattr(module, alias.name) for alias in node.names)


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist_with_their_options(page: Path) -> None:
    """`trunkline` commands are looked up in the command line itself."""
    root: Any = typer.main.get_command(app)
    for words in commands(page):
        if words[0] != "trunkline":
            continue
        command, rest = root, words[1:]
        while hasattr(command, "commands") and rest:
            name, *rest = rest
            assert name in command.commands, f"no command {' '.join(words)}"
            command = command.commands[name]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        unknown = {word for word in rest if word.startswith("-")} - known
        assert not unknown, f"no such options of {' '.join(words)}: {unknown}"


@pytest.mark.parametrize("page", PAGES)
def test_grpcurl_calls_fit_the_contracts(page: Path) -> None:
    """The method exists, and the request is one of its messages."""
    for path in CONTRACTS:
        importlib.import_module(".".join(path.with_suffix("").parts))
    importlib.import_module("grpc_health.v1.health_pb2")
    pool: Any = descriptor_pool.Default()
    for words in commands(page):
        call = grpcurl_call(words) if words[0] == "grpcurl" else None
        if call is None:
            continue
        service, _, method = call[0].partition("/")
        descriptor = pool.FindServiceByName(service).methods_by_name[method]
        json_format.ParseDict(call[1], message_factory.GetMessageClass(descriptor.input_type)())


@pytest.mark.parametrize("page", PAGES)
def test_nothing_of_one_machine_and_nothing_unfinished(page: Path) -> None:
    """No path of the machine on which it was written, and no promise in place of a text."""
    text = page.read_text(encoding="utf-8")
    own = [str(folder) for folder in (ROOT, ROOT.parent, Path.home()) if len(folder.parts) > 1]

    assert not any(re.search(rf"(?<![\w./]){re.escape(folder)}(?!\w)", text) for folder in own)
    assert not HOME_PATHS.search(text)
    assert not UNFINISHED.search(text)


def test_readme_needs_two_commands() -> None:
    """`make demo` and `make test`, both targets of the Makefile."""
    quick_start = blocks(ROOT / "README.md", "bash")[0]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert [line.split("#")[0].strip() for line in quick_start.splitlines()] == ["make demo", "make test"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in ("demo", "test"))
