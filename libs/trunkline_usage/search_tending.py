"""What a search audit's thread does beside writing: salts of the days, and the end of lines whose time is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from trunkline_usage.append_log import AppendLog, log
from trunkline_usage.day_salts import DAY_S, DaySalts
from trunkline_usage.search_lines import SEARCHES
from trunkline_usage.segments import Segment, folders_with, segments_of
from trunkline_usage.writer_lock import unwritten


class SearchTending:
    """Called by the thread of an audit, after each of its syncs."""

    def __init__(
        self, root: Path, writing: AppendLog, salts: DaySalts, keep_days: int, now: Callable[[], float] = time.time
    ) -> None:
        """Look after `salts`, and after all files below `root` whenever `writing` has begun another."""
        self._root: Final = root
        self._writing: Final = writing
        self._salts: Final = salts
        self._keep_s: Final = keep_days * DAY_S
        self._now: Final = now
        self._files_seen = 0

    def __call__(self) -> None:
        """Do what is due. Blocks; raises nothing."""
        self._salts.prepare()
        begun = self._writing.files_begun
        if not self._keep_s or begun == self._files_seen:
            return
        self._files_seen = begun
        try:
            removed = remove_old(self._root, self._now() - self._keep_s)
        except OSError as exc:
            log.error("old search audits cannot be removed", error_type=type(exc).__name__)
            return
        if removed:
            log.info("old search audits removed", count=removed)


def remove_old(root: Path, before_s: float) -> int:
    """Remove the files below `root` with no line of `before_s` (Unix time) or later; return how many. Raises OSError.

    They go from the front, so that a folder's chain stays whole. The last file of a folder that somebody writes to
    stays in any case.
    """
    removed = 0
    for folder in folders_with(root, SEARCHES):
        with unwritten(folder) as idle:
            for segment in _old(segments_of(folder, SEARCHES), before_s, idle=idle):
                segment.path.unlink(missing_ok=True)  # another router of the folder may do the same
                removed += 1
    return removed


def _old(segments: list[Segment], before_s: float, *, idle: bool) -> Iterator[Segment]:
    for segment in segments if idle else segments[:-1]:
        if segment.begun_s + DAY_S >= before_s:  # a file is written to within one day
            return
        yield segment
