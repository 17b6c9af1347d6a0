"""What a call serves: the courses that go to one region together, how long they may take, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from trunkline_map.entries import RegionEntry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError
from trunkline_routing.edge.candidates import Candidate
from trunkline_routing.edge.course import Course, Judge
from trunkline_routing.edge.hedged_call import Ended

T = TypeVar("T")


@dataclass(slots=True)
class Group(Generic[T]):
    """Courses that go to one region in one call."""

    candidate: Candidate
    region: RegionEntry
    courses: list[Course[T]]

    @property
    def most_tried(self) -> int:
        """Attempts of the course that has had most."""
        if len(self.courses) == 1:
            return len(self.courses[0].tried)
        return max([len(course.tried) for course in self.courses])


@dataclass(slots=True)  # frozen ones take twice as long to make
class Limits:
    """How long a piece of work may go on."""

    deadline: Deadline
    budget: Deadline
    attempts: int


def settle(courses: Sequence[Course[T]], ended: Ended[T], judge: Judge, *, hedge: bool = False) -> None:
    """Note on each course how an attempt ended."""
    region_id = ended.region.region_id
    if not ended.results:
        for course in courses:
            course.lost(region_id, ended.elapsed_s, hedge=hedge)
        return
    for course, result in zip(courses, ended.results, strict=True):
        if isinstance(result, DomainError):
            course.failed(region_id, result, ended.elapsed_s, ended.known, hedge=hedge)
        else:
            course.served(ended.region, result, ended.elapsed_s, ended.known, hedge=hedge)
            if course.explain:
                course.explain_rest(judge)


def raise_refusal(courses: Sequence[Course[T]], *, partial: bool) -> None:
    """Raise the first refusal of the courses, unless `partial` answers will do."""
    if partial:
        return
    for course in courses:
        if course.refusal is not None:
            raise course.refusal
