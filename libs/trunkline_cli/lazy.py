"""A command line whose commands are imported when they are asked for: one command does not wait for all the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import typer
from typer.core import TyperGroup

Adder = Callable[[typer.Typer], None]
"""Imports one command, or one group of commands, and adds it under its name."""


class LazyCommands(Mapping[str, Any]):
    """Commands by name in the order given; each is imported and put together when it is first looked up.

    The values are click's commands, for whose class typer has no public name.
    """

    def __init__(self, adders: Mapping[str, Adder]) -> None:
        self._adders = dict(adders)
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            alone = typer.Typer(rich_markup_mode=None)
            self._adders[name](alone)
            self._made[name] = typer.main.get_group(alone).commands[name]
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._adders)

    def __len__(self) -> int:
        return len(self._adders)


def lazy_group(adders: Mapping[str, Adder]) -> type[TyperGroup]:
    """Return the class of a group with these commands; help lists them all, and therefore imports them all."""

    class LazyGroup(TyperGroup):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**{**settings, "commands": LazyCommands(adders)})

    return LazyGroup
