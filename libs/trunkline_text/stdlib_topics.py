"""Which modules of the standard library make up which collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TOPICS: Final[Mapping[str, tuple[str, ...]]] = {
    "debugging": (
        *(
            "_tracemalloc",
            "bdb",
            "cProfile",
            "cmd",
            "code",
            "codeop",
            "dis",
            "faulthandler",
            "gc",
            "inspect",
            "linecache",
            "logging",
        ),
        *("opcode", "pdb", "profile", "pstats", "pyclbr", "symtable", "sys", "timeit", "trace", "traceback"),
        *("tracemalloc", "warnings", "weakref"),
    ),
    "concurrency": (
        *("_queue", "_thread", "asyncio", "concurrent", "contextvars", "multiprocessing", "queue", "sched"),
        *("select", "selectors", "signal", "subprocess", "threading", "_contextvars"),
    ),
    "networking": (
        *("_socket", "_ssl", "email", "ftplib", "http", "imaplib", "ipaddress", "mailbox", "nntplib", "poplib"),
        *("smtplib", "socket", "socketserver", "ssl", "telnetlib", "urllib", "wsgiref", "xmlrpc", "webbrowser"),
    ),
    "data-formats": (
        *("_csv", "_json", "_struct", "base64", "binascii", "configparser", "copyreg", "csv", "dbm", "html", "json"),
        *(
            "mimetypes",
            "netrc",
            "pickle",
            "pickletools",
            "plistlib",
            "quopri",
            "shelve",
            "sqlite3",
            "struct",
            "tomllib",
        ),
        *("uuid", "xml", "zlib"),
    ),
    "text": (
        *("argparse", "codecs", "difflib", "getopt", "gettext", "locale", "optparse", "pprint", "re"),
        *("readline", "shlex", "string", "stringprep", "textwrap", "token", "tokenize", "unicodedata"),
    ),
    "files": (
        *("_io", "bz2", "filecmp", "fileinput", "fnmatch", "genericpath", "glob", "gzip", "io", "lzma", "ntpath", "os"),
        *("pathlib", "posix", "posixpath", "shutil", "stat", "tarfile", "tempfile", "zipfile", "zipapp"),
    ),
    "numbers": (
        *("_pydatetime", "_pydecimal", "_random", "calendar", "cmath", "colorsys", "datetime", "decimal", "fractions"),
        *("hashlib", "hmac", "math", "numbers", "random", "secrets", "statistics", "time", "zoneinfo"),
    ),
    "language": (
        *("_collections", "_collections_abc", "_functools", "abc", "array", "ast", "bisect", "builtins", "collections"),
        *("contextlib", "copy", "dataclasses", "enum", "functools", "graphlib", "heapq", "importlib", "itertools"),
        *("operator", "reprlib", "runpy", "pkgutil", "types", "typing"),
    ),
    "testing": ("doctest", "unittest"),
}
"""Collection name to modules; a package stands for all of its modules. A module named twice belongs to the first."""

BUILTIN_MODULES: Final = frozenset(
    (
        *("_collections", "_contextvars", "_csv", "_functools", "_io", "_json", "_queue", "_random"),
        *(
            "_socket",
            "_ssl",
            "_struct",
            "_thread",
            "_tracemalloc",
            "array",
            "binascii",
            "builtins",
            "cmath",
            "faulthandler",
        ),
        *("gc", "itertools", "math", "posix", "readline", "select", "signal", "sys", "time", "unicodedata"),
        *("zlib",),
    )
)
"""Written in C: their documentation exists only at run time. Importing these has no effect but their own."""

SKIPPED_PARTS: Final = frozenset(
    {"test", "tests", "idlelib", "lib2to3", "__pycache__", "site-packages", "dist-packages"}
)
"""Folders that hold no documentation for users."""

DISPLAY_NAMES: Final[Mapping[str, str]] = {
    "_collections": "collections",
    "_contextvars": "contextvars",
    "_csv": "csv",
    "_functools": "functools",
    "_io": "io",
    "_json": "json",
    "_pydatetime": "datetime",
    "_pydecimal": "decimal",
    "_queue": "queue",
    "_random": "random",
    "_socket": "socket",
    "_ssl": "ssl",
    "_struct": "struct",
    "_tracemalloc": "tracemalloc",
    "posix": "os",
}
"""Under which name the documentation of a module of the implementation is known."""
