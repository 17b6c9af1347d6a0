"""Mistakes that no type checker sees, looked for in every source file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCES = sorted(path for root in ("libs", "services") for path in (ROOT / root).rglob("*.py"))


def findings(tree: ast.AST) -> Iterator[str]:
    """Name each place where one of the mistakes stands."""
    nodes = list(ast.walk(tree))
    awaited = {id(node.value) for node in nodes if isinstance(node, ast.Await)}
    shared = {name for node in nodes if isinstance(node, ast.Nonlocal | ast.Global) for name in node.names}
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and id(node) not in awaited:
            name = node.func.attr
            if name == "abort_with_status" or (name == "abort" and _is_context(node.func.value)):
                yield f"line {node.lineno}: `{name}` without await lets the call go on"
        if isinstance(node, ast.AugAssign) and any(isinstance(part, ast.Await) for part in ast.walk(node.value)):
            local = isinstance(node.target, ast.Name) and node.target.id not in shared
            if not local:
                yield f"line {node.lineno}: the left side is read before the await, so concurrent changes are lost"


def _is_context(value: ast.expr) -> bool:
    name = value.id if isinstance(value, ast.Name) else value.attr if isinstance(value, ast.Attribute) else ""
    return "context" in name.lower() or name == "ctx"


def test_no_abort_goes_unawaited_and_no_sum_spans_an_await() -> None:
    """The one is an authentication bypass, the other a lost update."""
    found = {
        str(path.relative_to(ROOT)): list(findings(ast.parse(path.read_text(encoding="utf-8")))) for path in SOURCES
    }
    assert len(found) > 20, "the sources are elsewhere"
    assert {path: places for path, places in found.items() if places} == {}


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("async def f(context): context.abort(1, 'x')", 1),
        ("async def f(self): self._context.abort_with_status(s)", 1),
        ("async def f(self): self.total += await g()", 1),
        ("async def f(self): self.totals[0] += 1 + (await g())", 1),
        ("async def f():\n nonlocal total\n total += await g()", 1),
        ("async def f(): own = 0; own += await g()", 0),
        ("async def f(context): await context.abort(1, 'x')", 0),
        ("async def f(context): return await context.abort(1, 'x')", 0),
        ("def f(): transport.abort()", 0),
        ("async def f(self): self.total = await g()", 0),
    ],
)
def test_the_search_finds_the_mistakes(source: str, count: int) -> None:
    """And nothing else."""
    assert len(list(findings(ast.parse(source)))) == count
