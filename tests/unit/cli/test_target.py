"""Routers and credentials come from options, then the environment, then the local stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from trunkline_cli.exits import CliError, Exit
from trunkline_cli.target import Target, TargetOptions, find_run_dir
from trunkline_client import RouterAddress


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRUNKLINE_ROUTERS", raising=False)


def test_options_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routers named on the command line stand alone."""
    monkeypatch.setenv("TRUNKLINE_ROUTERS", "eu=h:1, us=h:2")

    assert Target(TargetOptions(routers=["x:9"])).routers() == [RouterAddress("", "x:9")]
    assert Target(TargetOptions()).routers() == [RouterAddress("eu", "h:1"), RouterAddress("us", "h:2")]


def test_the_near_region_goes_first() -> None:
    """`--near` changes the order and must name a router that is known."""
    routers = ["eu=h:1", "us=h:2", "ap=h:3"]

    assert [item.region for item in Target(TargetOptions(routers=routers, near="us")).routers()] == ["us", "eu", "ap"]
    with pytest.raises(CliError, match="mars"):
        Target(TargetOptions(routers=routers, near="mars")).routers()


def test_without_routers_or_a_stack_the_code_says_so() -> None:
    """Exit code 4 and advice."""
    with pytest.raises(CliError, match="no stack runs") as caught:
        Target(TargetOptions()).routers()

    assert caught.value.code is Exit.NOT_RUNNING
    assert "trunkline up" in caught.value.advice


def test_named_routers_need_a_credential(tmp_path: Path) -> None:
    """Nothing is guessed for routers that are not the local stack's."""
    with pytest.raises(CliError, match="no credential"):
        Target(TargetOptions(routers=["h:1"])).client()
    with pytest.raises(CliError, match="is no file"):
        Target(TargetOptions(routers=["h:1"], token_file=tmp_path / "none")).client()
    with pytest.raises(CliError, match="role control"):
        Target(TargetOptions(routers=["h:1"], token="t")).control()


async def test_a_token_file_is_read_for_each_call(tmp_path: Path) -> None:
    """Whoever renews the token writes the file."""
    path = tmp_path / "token"
    path.write_text("one")
    client = Target(TargetOptions(routers=["h:1"], token_file=path)).client()

    assert await client._context.credential.token() == "one"
    path.write_text("two")
    assert await client._context.credential.token() == "two"


def test_the_stack_of_a_folder_above_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands work anywhere below the folder in which the stack was started."""
    (tmp_path / ".trunkline").mkdir()
    (tmp_path / ".trunkline" / "stack.json").write_text("{}")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)

    assert find_run_dir(None) == tmp_path / ".trunkline"
    assert find_run_dir(Path("x")) == below / "x"
