"""Real documentation that every machine with Python has: the docstrings of its standard library, by topic."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from trunkline_text.chunking import DEFAULT_POLICY, ChunkPolicy, chunk_page
from trunkline_text.model import Chunk, Page, Section
from trunkline_text.plain_reader import read_plain
from trunkline_text.stdlib_source import Entry, entries_from_runtime, entries_from_source
from trunkline_text.stdlib_topics import BUILTIN_MODULES, DISPLAY_NAMES, SKIPPED_PARTS, TOPICS


class StdlibMissing(Exception):  # noqa: N818  # a finding about the machine, told to its owner
    """The standard library's sources are not on this machine."""


@dataclass(frozen=True, slots=True)
class StdlibCorpus:
    """Chunks by collection, in a fixed order, and the modules that could not be read."""

    collections: Mapping[str, tuple[Chunk, ...]]
    unread: tuple[str, ...]

    @property
    def chunk_count(self) -> int:
        """Chunks in all collections together."""
        return sum(len(chunks) for chunks in self.collections.values())


def read_stdlib(root: Path | None = None, policy: ChunkPolicy = DEFAULT_POLICY) -> StdlibCorpus:
    """Read the documentation of this Python's standard library; `root` names another one's sources.

    Nothing is imported but a fixed list of modules written in C. Takes a few seconds of CPU. Raises StdlibMissing if
    there are no sources, as in an interpreter that carries them in an archive.
    """
    folder = root or Path(sysconfig.get_path("stdlib"))
    if not (folder / "asyncio" / "__init__.py").is_file():
        raise StdlibMissing(f"no Python sources below {folder}; install the package with the full standard library")
    collections: dict[str, tuple[Chunk, ...]] = {}
    unread: list[str] = []
    taken: set[str] = set()
    for topic, names in TOPICS.items():
        chunks: list[Chunk] = []
        for module, path in _modules(folder, sorted(set(names) - taken)):
            try:
                chunks += chunk_page(_page(topic, module, path), policy)
            except (SyntaxError, ValueError, OSError, ImportError):
                unread.append(module)
        taken.update(names)
        collections[topic] = tuple(chunks)
    return StdlibCorpus(collections, tuple(unread))


def _modules(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, Path | None]]:
    """Yield module names with their source, None for those to be asked at run time."""
    for name in names:
        if name in BUILTIN_MODULES:
            yield name, None
        elif (folder / f"{name}.py").is_file():
            yield name, folder / f"{name}.py"
        elif (folder / name / "__init__.py").is_file():
            for path in sorted((folder / name).rglob("*.py")):
                parts = path.relative_to(folder).with_suffix("").parts
                if not SKIPPED_PARTS.intersection(parts):
                    yield ".".join(parts).removesuffix(".__init__"), path


def _page(topic: str, module: str, path: Path | None) -> Page:
    known_as = DISPLAY_NAMES.get(module, module)
    entries = entries_from_runtime(module) if path is None else entries_from_source(path)
    seen: set[str] = set()
    sections = []
    for entry in entries:
        # Methods that repeat their base's words would only crowd out other answers.
        if entry.doc not in seen:
            seen.add(entry.doc)
            sections.append(_section(known_as, entry))
    return Page(module, known_as, tuple(sections), {"topic": topic, "module": known_as})


def _section(module: str, entry: Entry) -> Section:
    name = f"{module}.{entry.name}" if entry.name else module
    paragraphs = [block for section in read_plain(entry.doc)[1] for block in section.blocks]
    return Section((name,), (entry.signature, *paragraphs) if entry.signature else tuple(paragraphs))
