"""The `trunkline` command from `up` to `down`, as a newcomer types it: a small stack of its own with one region.

Each command is a process of its own. What starts, stops and first uses the stack is started as a shell does it; for
the many questions that follow a process is forked with the command imported.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from tests.fixtures.servers import unavailable
from tests.integration.cli.forked import forked

from trunkline_local._guardian import marked_processes, sweep
from trunkline_local.binaries import find_etcd, find_model_repository, find_triton, find_valkey
from trunkline_local.errors import BinaryMissingError, ModelRepositoryMissingError

pytestmark = pytest.mark.timeout(180)  # the first test starts the stack

COMMAND_WITHIN_S: Final = 120.0
FILES: Final = {
    "guide.md": "# Otters\n\nOtters hold hands while they sleep.\n\n## Food\n\nOtters eat crabs and sea urchins.\n",
    "birds.html": "<html><head><title>Birds</title></head><body><h1>Terns</h1><p>Arctic terns fly from pole to pole."
    "</p><script>alert('never indexed')</script></body></html>",
    "trees.rst": "Sequoias\n========\n\nSequoias are the largest trees by volume.\n",
    "notes.txt": "Glaciers carve valleys over thousands of years.\n",
    "skipped.bin": "not a document",
}
ANSWERS: Final = {
    "What do otters eat?": "guide.md",
    "Which bird flies from pole to pole?": "birds.html",
    "What is the largest tree?": "trees.rst",
    "What carves valleys?": "notes.txt",
}


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What it printed for programs."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Command:
    """Runs `trunkline` in a folder of its own."""

    home: Path

    async def __call__(self, *arguments: str) -> Done:
        """Run the command in a fork."""
        return Done(*await forked(arguments, home=self.home, env=self.env, within_s=COMMAND_WITHIN_S))

    async def fresh(self, *arguments: str) -> Done:
        """Run the command in a fresh interpreter."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "trunkline_cli", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.home,
            env=self.env,
        )
        out, err = await asyncio.wait_for(process.communicate(), COMMAND_WITHIN_S)
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), err.decode())

    @property
    def env(self) -> dict[str, str]:
        """The environment without variables of this machine."""
        return {name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")}

    async def data(self, *arguments: str) -> Any:
        """Run a command that must succeed and return what it prints for programs."""
        return _data(await self(*arguments, "--json"))

    async def fresh_data(self, *arguments: str) -> Any:
        """As `data`, in a fresh interpreter."""
        return _data(await self.fresh(*arguments, "--json"))

    async def until(self, accepted: Callable[[Any], bool], *arguments: str) -> Any:
        """Repeat a command until it succeeds with what is accepted; return its data."""
        async with asyncio.timeout(COMMAND_WITHIN_S):
            while True:
                done = await self(*arguments, "--json")
                if done.code == 0 and accepted(done.data):
                    return done.data


def _data(done: Done) -> Any:
    assert done.code == 0, done
    return done.data


@pytest.fixture(scope="module")
async def trunkline(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Command]:
    """A small stack that `trunkline up` started; whatever happens, nothing of it is left."""
    try:
        find_etcd(), find_valkey(), find_triton(), find_model_repository()
    except (BinaryMissingError, ModelRepositoryMissingError) as exc:
        unavailable(exc)
    command = Command(tmp_path_factory.mktemp("command-line"))
    try:
        up = await command.fresh("up", "--small", "--region", "eu-west=eu", "--tenant", "dev", "--json")
        assert up.code == 0, up.err
        assert up.data["tenant"] == "dev"
        yield command
    finally:
        await command.fresh("down")
        state = command.home / ".trunkline" / "stack.json"
        if state.is_file():
            await asyncio.to_thread(sweep, json.loads(state.read_text())["run_id"])


async def test_status_tells_what_runs(trunkline: Command) -> None:
    """Everything is there, alive and running; a second `up` is refused."""
    status = await trunkline.fresh_data("status")
    again = await trunkline("up", "--small", "--region", "eu-west=eu")
    assert (status["running"], status["stale"]) == (True, False)
    states = {each["name"]: each["state"] for each in status["stack"]["processes"]}
    assert states == dict.fromkeys(
        ["etcd-0", "triton", "control", "eu-west/valkey", "eu-west/services", "eu-west/learner"], "running"
    )
    assert again.code == 1
    assert "already runs" in again.err
    assert "Traceback" not in again.err


async def test_doctor_finds_the_machine_fit(trunkline: Command) -> None:
    """Where a stack runs, nothing that it needs is missing."""
    found = await trunkline.data("doctor")
    assert found["ok"]
    assert [item["name"] for item in found["findings"] if item["required"] and not item["ok"]] == []


@pytest.fixture(scope="module")
async def ingested(trunkline: Command) -> tuple[Any, Any]:
    """What the first and a second ingestion of the same folder reported."""
    folder = trunkline.home / "docs"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    ingest = ("ingest", str(folder), "--collection", "guide", "--tenant", "dev")
    first = await trunkline.fresh_data(*ingest, "--create", "--description", "Animals, trees and glaciers")
    return first, await trunkline.data(*ingest)


async def test_files_are_ingested_and_found(trunkline: Command, ingested: tuple[Any, Any]) -> None:
    """Markdown, HTML, reStructuredText and text become documents; a question finds each file, with the account."""
    first, second = ingested
    assert (first["files"], first["problems"]) == (4, [])
    assert first["written"] >= 4
    assert (second["written"], second["unchanged"]) == (0, first["written"])
    for question, source in ANSWERS.items():
        await _asked(trunkline, question, source)


async def _asked(trunkline: Command, question: str, source: str) -> None:
    found = await trunkline.data("search", question, "-c", "guide", "--tenant", "dev", "--explain", "--deadline", "9")
    assert found["hits"][0]["fields"]["source"] == source, question
    assert "alert(" not in found["hits"][0]["text"]
    assert found["trail"]["decision"]["strategy"] == "EXPLICIT"
    assert found["trail"]["collections"][0]["served_region"] == "eu-west"
    assert found["attempts"][0]["outcome"] == "OK"


@pytest.mark.usefixtures("ingested")
async def test_an_answer_is_readable_and_route_explains(trunkline: Command) -> None:
    """For people: the hits with their source, the decision, the stages; a policy decides from its version on."""
    policy = trunkline.home / "policy.yaml"
    policy.write_text("version: 2\nfallback: none\ncollections:\n  guide: {keywords: [otters]}\n")
    await trunkline.data("policy", "apply", str(policy), "--tenant", "dev", "--yes")
    routed = await trunkline.until(
        lambda data: data["trail"]["decision"]["strategy"] == "RULES",
        *("route", "What do otters eat?", "--tenant", "dev"),
    )
    text = await trunkline.fresh("search", "What do otters eat?", "--tenant", "dev", "--explain", "--deadline", "9")
    nowhere = await trunkline("search", "x", "-c", "nowhere", "--tenant", "dev")
    assert routed["trail"]["decision"]["policy_version"] == 1
    assert [each["collection"] for each in routed["trail"]["collections"]] == ["guide"]
    assert text.code == 0, text.err
    assert "guide.md | guide in eu-west" in text.out
    assert "decision     RULES" in text.out
    assert "steps        " in text.out
    assert "stages " in text.out
    assert nowhere.code == 3
    assert nowhere.err.startswith("error: COLLECTION_UNKNOWN: ")


RECIPES: Final = {
    "bread.md": "# Bread\n\nKnead the dough for ten minutes and bake the bread until its crust is brown.\n",
    "soup.md": "# Soup\n\nSimmer the soup for an hour and season it with salt.\n",
    "cake.md": "# Cake\n\nBeat butter and sugar, add flour, and bake the cake for forty minutes.\n",
}
QUESTIONS: Final = (
    ("What do otters eat?", "guide"),
    ("Which bird flies from pole to pole?", "guide"),
    ("How long do I bake a cake?", "recipes"),
    ("When is the crust of bread brown?", "recipes"),
)


@pytest.mark.usefixtures("ingested")
async def test_a_team_is_on_board_in_minutes(trunkline: Command) -> None:
    """A draft from the documents is linted, tested, applied, decides, hears feedback, and is rolled back."""
    folder = trunkline.home / "recipes"
    folder.mkdir()
    for name, text in RECIPES.items():
        (folder / name).write_text(text)
    await trunkline.data("ingest", str(folder), "--collection", "recipes", "--create", "--tenant", "dev")
    draft, questions = trunkline.home / "draft.yaml", trunkline.home / "questions.csv"
    questions.write_text("".join(f'"{text}",{collection}\n' for text, collection in QUESTIONS))
    drafted = await trunkline.data("policy", "draft", "--tenant", "dev", "-o", str(draft))
    linted = await trunkline.data("policy", "lint", str(draft))
    tested = await trunkline.data("policy", "test", str(questions), "--tenant", "dev", "--policy", str(draft))
    applied = await trunkline.data("policy", "apply", str(draft), "--tenant", "dev", "--yes", "--comment", "drafted")
    assert set(drafted["documents"]) == {"guide", "recipes"}
    assert linted["files"][0]["errors"] == 0
    assert tested["figures"]["accuracy"] >= 0.75  # seven sentences are not much to draft from
    await _decides_and_hears(trunkline, applied["version"])
    back = await trunkline.data("policy", "rollback", "--tenant", "dev", "--yes")
    versions = await trunkline.data("policy", "versions", "--tenant", "dev")
    assert (back["version"], back["restored_version"]) == (applied["version"] + 1, applied["version"] - 1)
    assert versions["versions"][1]["comment"] == "drafted"


async def _decides_and_hears(trunkline: Command, version: int) -> None:
    question, collection = QUESTIONS[2]
    routed = await trunkline.until(
        lambda data: data["trail"]["decision"]["policy_version"] == version and not data["trail"]["degradations"],
        *("route", question, "--tenant", "dev"),
    )
    decision = routed["trail"]["decision"]
    assert routed["trail"]["collections"][0]["collection"] == collection
    assert decision["steps"][-1]["outcome"] == "DECIDED"
    heard = await trunkline.data(
        *("feedback", decision["decision_id"], "--text", question, "--accepted", collection, "--tenant", "dev")
    )
    report = await trunkline.data("policy", "report", "--tenant", "dev")
    assert heard["kept"]
    assert report["report"]["policy_version"] == str(version)  # as protobuf's JSON has 64 bits


async def test_a_token_carries_attributes(trunkline: Command) -> None:
    """What rules of policies may look at; a wrong form is refused."""
    token = (await trunkline("token", "--tenant", "dev", "--attribute", "department=finance")).out.strip()
    wrong = await trunkline("token", "--tenant", "dev", "--attribute", "department")
    body = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert claims["attributes"] == {"department": "finance"}
    assert wrong.code == 2


async def test_down_leaves_nothing(trunkline: Command) -> None:
    """After `down` no process of the stack lives, `status` says so, and a second `down` is told apart."""
    stack = (await trunkline.data("status"))["stack"]
    assert _alive(stack) != []
    down = await trunkline.fresh_data("down")
    status, again = await trunkline.fresh("status"), await trunkline("down")
    assert down["stopped"]
    assert marked_processes(stack["run_id"]) == []
    assert _alive(stack) == []
    assert status.code == again.code == 4
    logs = [path.read_text(errors="replace") for path in (trunkline.home / ".trunkline" / "logs").glob("*.log")]
    assert logs
    assert [log for log in logs if "Traceback" in log] == []


def _alive(stack: Any) -> Sequence[int]:
    pids = [each["pid"] for each in stack["processes"] if each["pid"]] + [stack["owner"]["pid"]]
    return [pid for pid in pids if _runs(pid)]


def _runs(pid: int) -> bool:
    """Tell whether a process runs; one that has ended may wait for a while until its new parent takes note."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")
