"""Reads text files and folders, and the standard library's documentation, into chunks that can be embedded."""

from trunkline_text.chunking import DEFAULT_POLICY, ChunkPolicy, chunk_page
from trunkline_text.files import FileLimits, FileProblem, find_files
from trunkline_text.model import Chunk, Page, Section
from trunkline_text.readers import SUFFIXES, UnreadableFile, read_page
from trunkline_text.stdlib_corpus import StdlibCorpus, StdlibMissing, read_stdlib

__all__ = [
    "DEFAULT_POLICY",
    "SUFFIXES",
    "Chunk",
    "ChunkPolicy",
    "FileLimits",
    "FileProblem",
    "Page",
    "Section",
    "StdlibCorpus",
    "StdlibMissing",
    "UnreadableFile",
    "chunk_page",
    "find_files",
    "read_page",
    "read_stdlib",
]
