"""All patterns of a policy at once: one automaton of RE2, whose time is linear in the text.

`re2.Set` is safe for several threads: its automaton grows under RE2's own lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import re2

from trunkline_policy import limits
from trunkline_policy.normal import MAX_TEXT_CHARS

MAX_WORK: Final = 4_000_000
"""Instructions times bytes of text. An automaton that must be built anew at each byte takes about 17 ns for each, so
this is some 70 ms in the worst case that we could make; patterns as people write them take a thousandth of it."""
MIN_TEXT_BYTES: Final = 64


def re2_options(max_memory_bytes: int) -> Any:
    """Return RE2's options: case does not matter, memory is bounded, nothing of what a tenant wrote is logged."""
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    options.never_capture = True
    options.max_mem = max_memory_bytes
    return options


class PatternSet:
    """Patterns compiled into one automaton. Immutable; safe for several threads."""

    def __init__(self, patterns: Sequence[str], *, max_memory_bytes: int = limits.ALL_PATTERNS_MEMORY_BYTES) -> None:
        """Compile the patterns. Raises ValueError for one that is none of RE2, and for too large ones."""
        options = re2_options(limits.PATTERN_MEMORY_BYTES)
        try:
            self._single = tuple(re2.compile(pattern, options) for pattern in patterns)
            self._all = re2.Set.SearchSet(re2_options(max_memory_bytes))
            # RE2 does not say when it ran out of memory: nothing matches then. So the first one matches always.
            for pattern in ("", *patterns):
                self._all.Add(pattern)
            self._all.Compile()
        except re2.error as exc:
            raise ValueError("a pattern is no RE2 regular expression, or they are too large") from exc
        size = sum(pattern.programsize for pattern in self._single)
        self.text_bytes = max(MIN_TEXT_BYTES, min(4 * MAX_TEXT_CHARS, MAX_WORK // max(1, size)))
        """Bytes of a text that are looked at: all of a query, unless the patterns are very large together."""

    def match(self, text: str) -> list[int]:
        """Return the indices of the patterns that match somewhere in a normalised text, in order."""
        if not self._single:
            return []
        encoded = text.encode(errors="replace")[: self.text_bytes]
        found: list[int] | None = self._all.Match(encoded)
        if found is None:
            return [index for index, pattern in enumerate(self._single) if _found(pattern, encoded)]
        return sorted(index - 1 for index in found if index)


def _found(pattern: Any, encoded: bytes) -> bool:
    return pattern.search(encoded) is not None
