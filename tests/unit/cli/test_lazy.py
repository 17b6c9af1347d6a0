"""Commands are imported when they are asked for."""

from __future__ import annotations

import typer
from typer.testing import CliRunner

from trunkline_cli.lazy import Adder, lazy_group


def _app(asked: list[str]) -> typer.Typer:
    def adder(name: str) -> Adder:
        def add(app: typer.Typer) -> None:
            asked.append(name)
            app.command(name)(lambda: print(f"{name} ran"))

        return add

    def sub_group(app: typer.Typer) -> None:
        inner = typer.Typer()
        adder("one")(inner)
        adder("two")(inner)
        app.add_typer(inner, name="sub")

    app = typer.Typer(cls=lazy_group({"up": adder("up"), "down": adder("down"), "sub": sub_group}))
    app.callback()(lambda: None)
    return app


def test_a_command_does_not_wait_for_the_others() -> None:
    """Only the one asked for is put together, once; one in a group comes with its group."""
    asked: list[str] = []
    alone = CliRunner().invoke(_app(asked), ["down"])
    assert (alone.exit_code, alone.output, asked) == (0, "down ran\n", ["down"])
    asked.clear()
    inner = CliRunner().invoke(_app(asked), ["sub", "two"])
    assert (inner.output, asked) == ("two ran\n", ["one", "two"])


def test_help_knows_them_all_in_their_order() -> None:
    """As if all were there from the start."""
    shown = CliRunner().invoke(_app([]), ["--help"]).output
    assert 0 < shown.index("up") < shown.index("down") < shown.index("sub")


def test_a_command_that_is_not_there_is_wrong_usage() -> None:
    """Nothing is imported to say so, and the nearest name is told."""
    asked: list[str] = []
    done = CliRunner().invoke(_app(asked), ["dwn"])
    assert (done.exit_code, asked) == (2, [])
    assert "'down'" in done.output
