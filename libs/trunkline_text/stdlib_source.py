"""Documentation of one module: from its source without importing it, or from a built-in module at run time."""

from __future__ import annotations

import ast
import importlib
import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# "Return self." and the like say nothing that could be found.
_MIN_DOC_CHARS: Final = 30
_MAX_SIGNATURE_CHARS: Final = 300

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Entry:
    """One documented thing: its name below the module (empty for the module), its signature and its documentation."""

    name: str
    kind: str
    signature: str
    doc: str


def entries_from_source(path: Path) -> Iterator[Entry]:
    """Yield the module's own documentation, then that of its public classes, methods and functions, in their order.

    Raises SyntaxError, ValueError or OSError for what is no source of this Python.
    """
    tree = ast.parse(path.read_bytes(), filename=path.name)
    yield from _entry("", "module", "", ast.get_docstring(tree))
    yield from _definitions(tree.body, "")


def _definitions(body: list[ast.stmt], prefix: str) -> Iterator[Entry]:
    for statement in body:
        if not isinstance(statement, _Definition) or not _is_public(statement.name):
            continue
        name = f"{prefix}{statement.name}"
        kind = "class" if isinstance(statement, ast.ClassDef) else "method" if prefix else "function"
        yield from _entry(name, kind, _signature(statement), ast.get_docstring(statement))
        if isinstance(statement, ast.ClassDef):
            yield from _definitions(statement.body, f"{name}.")


def _signature(definition: _Definition) -> str:
    if isinstance(definition, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in definition.bases)
        return f"class {definition.name}({bases})" if bases else f"class {definition.name}"
    word = "async def" if isinstance(definition, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(definition.returns)}" if definition.returns else ""
    return f"{word} {definition.name}({ast.unparse(definition.args)}){returns}"


def entries_from_runtime(module_name: str) -> Iterator[Entry]:
    """Yield what a built-in module says of itself. Raises ImportError if this Python was built without it."""
    module = importlib.import_module(module_name)
    yield from _entry("", "module", "", module.__doc__)
    for name, value in sorted(vars(module).items()):
        if not _is_public(name):
            continue
        if isinstance(value, type) and value.__module__ in (module_name, module_name.lstrip("_"), "builtins"):
            yield from _entry(name, "class", _text_signature("class ", name, value), _own_doc(value))
            yield from _members(name, value)
        elif isinstance(value, types.BuiltinFunctionType):
            yield from _entry(name, "function", _text_signature("", name, value), value.__doc__)


def _members(class_name: str, owner: type) -> Iterator[Entry]:
    for name, value in sorted(vars(owner).items()):
        documented = isinstance(value, types.MethodDescriptorType | types.GetSetDescriptorType | classmethod)
        if _is_public(name) and documented:
            signature = _text_signature("", name, value)
            yield from _entry(f"{class_name}.{name}", "method", signature, getattr(value, "__doc__", None))


def _own_doc(owner: type) -> str | None:
    doc = vars(owner).get("__doc__")
    return doc if isinstance(doc, str) else None


def _text_signature(word: str, name: str, value: object) -> str:
    text = getattr(value, "__text_signature__", None)
    if not isinstance(text, str):
        return ""
    return f"{word}{name}{text.replace('$module, ', '').replace('$module', '').replace('$self', 'self')}"


def _is_public(name: str) -> bool:
    return not name.startswith("_")


def _entry(name: str, kind: str, signature: str, doc: str | None) -> Iterator[Entry]:
    text = inspect.cleandoc(doc) if doc else ""
    if len(text) >= _MIN_DOC_CHARS:
        yield Entry(name, kind, signature[:_MAX_SIGNATURE_CHARS], text)
