"""The command against real routers on the real contract."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.cli.command import Command
from tests.integration.client.fake_router import FakeRouter, Hang, Refuse, running


class Cli(Command):
    """The command with a router of the contract."""

    def __init__(self, router: FakeRouter, home: Path) -> None:
        super().__init__(home, {"TRUNKLINE_ROUTERS": router.address, "TRUNKLINE_TOKEN": "jwt"})
        self.router = router


@pytest.fixture
async def cli(tmp_path: Path) -> AsyncIterator[Cli]:
    async with running("eu-west") as (router,):
        yield Cli(router, tmp_path)


async def test_a_search_is_readable_and_has_a_json_form(cli: Cli) -> None:
    """The hit, the trail and the options arrive; both forms say the same."""
    text = await cli.fresh(
        "search", "How?", "--explain", "-c", "files", "--where", "topic=x", "--top-k", "3", "--no-rerank"
    )
    data = (await cli("search", "How?", "--json")).data

    request = cli.router.seen[0].request
    assert text.code == 0, text.err
    assert "1. d" in text.out
    assert "eu-west" in text.out
    assert (request.text, request.top_k, list(request.collections), request.explain) == ("How?", 3, ["files"], True)
    assert request.filter.must[0].equals_string == "x"
    assert request.rerank.disabled
    assert data["hits"][0]["document_id"] == "d"
    assert data["trail"]["router_region"] == "eu-west"


async def test_a_refusal_has_its_exit_code_and_reason(cli: Cli) -> None:
    """Exit code 3, one line with the reason, no traceback."""
    cli.router.act = lambda _: Refuse("COLLECTION_UNKNOWN")

    done = await cli.fresh("search", "How?")
    as_json = await cli.fresh("route", "How?", "--json")

    assert done.code == 3
    assert done.err.startswith("error: COLLECTION_UNKNOWN: ")
    assert "Traceback" not in done.err
    assert as_json.code == 3
    assert as_json.data["error"]["reason"] == "COLLECTION_UNKNOWN"


async def test_wrong_usage_is_exit_code_two(cli: Cli) -> None:
    """Unknown options and malformed values are usage errors."""
    assert (await cli.fresh("search", "x", "--nonsense")).code == 2
    assert (await cli("search", "x", "--where", "nonsense")).code == 2
    assert (await cli("ingest", str(cli.home / "none"), "-c", "files")).code == 2
    assert (await cli("serve", "nonsense")).code == 2


async def test_no_stack_is_exit_code_four(cli: Cli) -> None:
    """Commands of the local stack say that there is none."""
    del cli.env["TRUNKLINE_ROUTERS"]
    for command in (["status"], ["down"], ["token", "--tenant", "t"], ["search", "x"], ["map", "list", "region"]):
        if command[0] == "search":
            del cli.env["TRUNKLINE_TOKEN"]
        assert (await cli(*command)).code == 4, command


def _write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.md").write_text(text)
    return folder


async def test_an_ingestion_sends_only_what_changed(cli: Cli) -> None:
    """The first run sends all, the second nothing, the third the changed file; --prune deletes what is gone."""
    folder = _write(cli.home / "docs", a="# A\n\none\n\n## B\n\ntwo", b="# C\n\nthree")
    (folder / "bad.txt").write_bytes(b"\xff\xfe")

    first = await cli("ingest", str(folder), "-c", "files", "--json")
    second = await cli("ingest", str(folder), "-c", "files", "--json")
    _write(folder, b="# C\n\nchanged")
    third = await cli("ingest", str(folder), "-c", "files", "--json")
    (folder / "a.md").unlink()
    kept = await cli("ingest", str(folder), "-c", "files", "--json")
    pruned = await cli("ingest", str(folder), "-c", "files", "--json", "--prune")

    counts = [(run.data["written"], run.data["unchanged"], run.data["deleted"]) for run in (first, second, third)]
    assert counts == [(3, 0, 0), (0, 3, 0), (1, 2, 0)]
    assert "broken UTF-8" in first.data["problems"][0]
    assert (kept.data["vanished"], kept.data["deleted"]) == (2, 0)
    assert pruned.data["deleted"] == 2
    deleted = [seen.request for seen in cli.router.seen if seen.method == "Delete"]
    assert len(deleted[0].document_ids) == 2
    first_upsert = next(seen.request for seen in cli.router.seen if seen.method == "Upsert")
    assert {document.fields["source"].string_value for document in first_upsert.documents} == {"a.md", "b.md"}


async def test_an_ingestion_keeps_the_contract_s_batches(cli: Cli) -> None:
    """A large file travels in several requests of at most 64 documents."""
    folder = _write(cli.home / "docs", a="\n\n".join(f"## Part {index}\n\ntext {index}" for index in range(200)))

    done = await cli("ingest", str(folder), "-c", "files", "--json")

    sizes = [len(seen.request.documents) for seen in cli.router.seen]
    assert done.data["written"] == 200
    assert sum(sizes) == 200
    assert max(sizes) <= 64
    assert "files" in done.err


async def test_a_busy_server_is_waited_for(cli: Cli) -> None:
    """An ingestion repeats what may be repeated and loses nothing."""
    folder = _write(cli.home / "docs", a="# A\n\none")
    cli.router.script = [Refuse("OVERLOADED", retry_delay_s=0.05)] * 5

    done = await cli("ingest", str(folder), "-c", "files", "--json")

    assert done.code == 0, done.err
    assert done.data["written"] == 1


async def test_ctrl_c_keeps_what_was_acknowledged(cli: Cli) -> None:
    """After SIGINT the state names the documents that were written, and the next run sends the rest."""
    folder = _write(cli.home / "docs", a="\n\n".join(f"## Part {index}\n\ntext {index}" for index in range(200)))
    cli.router.script = [None, Hang(), Hang()]
    process = await cli.start("ingest", str(folder), "-c", "files", "--json")
    async with asyncio.timeout(30):
        while len(cli.router.seen) < 3:
            cli.router.called.clear()
            await cli.router.called.wait()
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 30)

    rest = await cli("ingest", str(folder), "-c", "files", "--json")

    assert process.returncode == 130
    assert b"Traceback" not in err
    assert rest.data["unchanged"] == 64
    assert rest.data["written"] == 136


async def test_serve_checks_its_settings(cli: Cli) -> None:
    """A wrong setting is told by name, with exit code 2, before anything is opened."""
    cli.env["TRUNKLINE_ROUTING_NONSENSE"] = "1"

    done = await cli("serve", "routing", "--region", "eu-west", "--role", "edge", "--check-config")

    assert done.code == 2
    assert "NONSENSE" in done.err


@pytest.mark.parametrize("missing", ["typer", "rich"])
async def test_missing_packages_are_told_with_how_to_get_them(cli: Cli, missing: str) -> None:
    """Where only the client is installed the command says what it needs, in one line."""
    program = f"import sys; sys.modules[{missing!r}] = None; from trunkline_cli.__main__ import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, "doctor", stderr=asyncio.subprocess.PIPE, cwd=cli.home, env=cli.env
    )
    _, err = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 1
    assert err.decode().splitlines() == [
        f"error: the command needs {missing} - pip install 'trunkline[cli]', or 'trunkline[local]'"
    ]
