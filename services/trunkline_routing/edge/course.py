"""One piece of work on its way through its candidates: who comes next, who was passed over, how each try ended."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import RegionEntry
from trunkline_mesh.errors import DeadlineUnreachable, DomainError, Overloaded, Preempted
from trunkline_routing.edge.candidates import Candidate
from trunkline_routing.edge.trail_attempts import Known, add_attempt
from trunkline_routing.errors import moves_on, none_left

T = TypeVar("T")
Outcome: TypeAlias = trail_pb.AttemptOutcome.ValueType

_HEALTH: Final = trail_pb.ATTEMPT_OUTCOME_SKIPPED_HEALTH
_OVERLOAD: Final = trail_pb.ATTEMPT_OUTCOME_SKIPPED_OVERLOAD
_PRESSURE: Final = trail_pb.ATTEMPT_OUTCOME_SKIPPED_PRESSURE
_RAMP: Final = trail_pb.ATTEMPT_OUTCOME_SKIPPED_RAMP
_NOT_NEEDED: Final = trail_pb.ATTEMPT_OUTCOME_NOT_NEEDED

_PLAIN: Final = frozenset({_NOT_NEEDED, trail_pb.ATTEMPT_OUTCOME_SERVED})

_PUT_OFF: Final[Mapping[Outcome, int]] = {_RAMP: 0, _PRESSURE: 1, _OVERLOAD: 2, _HEALTH: 3}
"""Candidates that were only put off, best first: there was a better choice, which is no reason never to try them."""
_PUT_OFF_HOME_FULL: Final[Mapping[Outcome, int]] = {_RAMP: 0, _OVERLOAD: 1, _PRESSURE: 2, _HEALTH: 3}
"""The same where the first choice has too much to do: that is not moved on to the next one that is nearly full."""


class Judge(Protocol):
    """What is known of candidates; `Failover` has it."""

    def skip(self, candidate: Candidate, lot: Lot, *, moved: bool) -> Outcome:
        """Return why the candidate would be passed over now; unspecified if it would be tried."""

    def known(self, region_id: str) -> Known:
        """Return what the trail tells of a candidate."""


class Lot:
    """What decides for one request alone: whose it is, and its place in growing shares."""

    __slots__ = ("draw", "tenant_id")

    def __init__(self, tenant_id: str = "", draw: float = 0.0) -> None:
        """`draw` is in [0, 1): below a region's share the request may go there."""
        self.tenant_id = tenant_id
        self.draw = draw


NO_LOT: Final = Lot()


class Course(Generic[T]):
    """The candidates of one piece of work, in their order, each tried at most once."""

    __slots__ = ("_ahead", "_home_full", "_put_off", "account", "explain", "key", "last", "listed", "lot", "refusal",
                 "region", "result", "subject", "tried")  # fmt: skip

    def __init__(
        self,
        listed: Sequence[Candidate],
        *,
        subject: Mapping[str, str],
        lot: Lot = NO_LOT,
        account: trail_pb.CollectionTrail | None = None,
        explain: bool = False,
        key: Hashable = None,
    ) -> None:
        """Begin before the first candidate. Courses of equal `key` may share a call; `subject` names it in refusals."""
        self.listed = listed
        self.subject = subject
        self.lot = lot
        self.account = account
        self.explain = explain
        self.key = key
        self.tried: list[str] = []
        self.last: DomainError | None = None
        """Why the last try failed."""
        self.refusal: DomainError | None = None
        """What the caller is told; set once no candidate is left, or none could do better."""
        self.region: RegionEntry | None = None
        """Who served; `result` is what it answered."""
        self.result: T | None = None
        self._ahead = 0
        self._home_full = False
        self._put_off: list[tuple[Candidate, Outcome]] = []

    @property
    def is_open(self) -> bool:
        """True until somebody served or a refusal is certain."""
        return self.region is None and self.refusal is None

    def next(self, judge: Judge) -> Candidate | None:
        """Return the next candidate to try, noting who is passed over; None, and a refusal, if nobody is left."""
        while self._ahead < len(self.listed):
            candidate = self.listed[self._ahead]
            moved = self._ahead > 0
            self._ahead += 1
            skip = judge.skip(candidate, self.lot, moved=moved)
            if not skip:
                return candidate
            self._note(candidate.region_id, skip, judge)
            if skip in _PUT_OFF:
                self._put_off.append((candidate, skip))
                self._home_full = self._home_full or (skip == _OVERLOAD and not moved)
        last_resorts = list(self._last_resorts())
        if not last_resorts:
            self.give_up()
            return None
        chosen = last_resorts[0]
        self._put_off.remove(chosen)
        return chosen[0]

    def follower(self, judge: Judge) -> Candidate | None:
        """Return who would follow if the present try fails and could well serve; None if nobody would."""
        for index in range(self._ahead, len(self.listed)):
            if not judge.skip(self.listed[index], self.lot, moved=index > 0):
                return self.listed[index]
        likely = (candidate for candidate, skip in self._last_resorts() if skip != _HEALTH)
        return next(likely, None)

    def spare(self, judge: Judge) -> Candidate | None:
        """Return who could serve beside the present try; never somebody who was put off."""
        follower = self.follower(judge)
        return follower if follower in self.listed[self._ahead :] else None

    def out_of_budget(self, candidate: Candidate, judge: Judge) -> None:
        """Pass `candidate` and all behind it over: there is no time, no try or no budget left for them."""
        self._note(candidate.region_id, trail_pb.ATTEMPT_OUTCOME_SKIPPED_BUDGET, judge)
        for other in self.listed[self._ahead :]:
            skip = judge.skip(other, self.lot, moved=True)
            self._note(other.region_id, skip or trail_pb.ATTEMPT_OUTCOME_SKIPPED_BUDGET, judge)
        self._ahead = len(self.listed)
        self.give_up()

    def give_up(self) -> None:
        """Make the refusal of what has been tried."""
        self.refusal = none_left(self.subject, self.tried, self.last)
        if self.refusal is not self.last:
            self.refusal.__cause__ = self.last

    def failed(
        self, region_id: str, error: DomainError, elapsed_s: float, known: Known | None = None, *, hedge: bool = False
    ) -> None:
        """Note a try that failed; a fault that every region would find is the refusal."""
        self._tried(region_id, trail_pb.ATTEMPT_OUTCOME_FAILED, error, elapsed_s, known, hedge=hedge)
        self.last = error
        if not moves_on(error):
            self.refusal = error

    def lost(self, region_id: str, elapsed_s: float, *, hedge: bool = False) -> None:
        """Note a try beside which another one answered first."""
        self._tried(region_id, trail_pb.ATTEMPT_OUTCOME_HEDGE_LOST, None, elapsed_s, None, hedge=hedge)

    def served(
        self, region: RegionEntry, result: T, elapsed_s: float, known: Known | None = None, *, hedge: bool = False
    ) -> None:
        """Note the try that served, whatever failed beside it."""
        self._tried(region.region_id, trail_pb.ATTEMPT_OUTCOME_SERVED, None, elapsed_s, known, hedge=hedge)
        self.region, self.result, self.refusal = region, result, None

    def explain_rest(self, judge: Judge) -> None:
        """Note the candidates behind the one that served: those that never could, and those that were not needed."""
        for other in self.listed[self._ahead :]:
            self._note(other.region_id, other.passed_over or _NOT_NEEDED, judge)
        self._ahead = len(self.listed)

    def explain_only(self, judge: Judge) -> None:
        """Note what would become of each candidate, and try none."""
        candidate = self.next(judge)
        if candidate is not None and candidate.region is not None:
            self._note(candidate.region_id, trail_pb.ATTEMPT_OUTCOME_SERVED, judge)
            self.region = candidate.region
            if self.account is not None:
                self.account.served_region = candidate.region_id
            self.explain_rest(judge)

    def _last_resorts(self) -> Iterator[tuple[Candidate, Outcome]]:
        """Who was put off, best first. After an answer of overload nobody is left who has too much to do, too."""
        overloaded = isinstance(self.last, Overloaded | Preempted | DeadlineUnreachable)
        ranks = _PUT_OFF_HOME_FULL if self._home_full else _PUT_OFF
        left = (one for one in self._put_off if not overloaded or one[1] == _RAMP)
        yield from sorted(left, key=lambda one: ranks[one[1]])

    def _tried(
        self,
        region_id: str,
        outcome: Outcome,
        error: DomainError | None,
        elapsed_s: float,
        known: Known | None,
        *,
        hedge: bool,
    ) -> None:
        self.tried.append(region_id)
        add_attempt(self.account, region_id, outcome, error=error, elapsed_s=elapsed_s, known=known, hedge=hedge)

    def _note(self, region_id: str, outcome: Outcome, judge: Judge) -> None:
        """Tell of a candidate; what was known of it only where that was asked for, or was the reason."""
        if self.account is not None:
            plain = not self.explain and outcome in _PLAIN
            add_attempt(self.account, region_id, outcome, known=None if plain else judge.known(region_id))
