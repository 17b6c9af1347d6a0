"""From what was asked, answered and changed to figures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chaos.etcd_faults import Done
from tests.chaos.etcd_ledger import Ledger, Outcome
from tests.chaos.etcd_world import WITH_TOKEN
from tests.chaos.load_answer import Answer
from tests.chaos.load_figures import between, latency_ms, outcomes

STALE: Final = "STALE_MAP"
_OLDER: Final = "the map is older than the token"
"""The generator compares with the latest token, which may have come after the question; we with the one sent."""
MAX_EXAMPLES: Final = 5


@dataclass
class Judgement:
    """Which answers were not as they should be."""

    lost: list[Answer] = field(default_factory=list)
    """Failed, or never sent; a refusal of a map token as stale is none."""
    refused: list[Answer] = field(default_factory=list)
    """A map token was sent along and its state did not arrive within the deadline. Where the client tried once more and
    ran out of time, the caller saw another reason than the router's."""
    stale: list[Answer] = field(default_factory=list)
    """Rests on a map older than the token sent along, or does not fit the state that it says it rests on."""
    wrong: list[Answer] = field(default_factory=list)
    """Without a token: not the document asked for, or not from where the map that it rests on has it."""


def judge(answers: Iterable[Answer], ledger: Ledger) -> Judgement:
    """Compare every answer with the map at the revision on which it says it rests."""
    found = Judgement()
    for answer in answers:
        if answer.failed:
            (found.refused if _refused_as_stale(answer) else found.lost).append(answer)
        elif not _fits(answer, ledger):
            (found.stale if answer.stream.startswith(WITH_TOKEN) else found.wrong).append(answer)
    return found


def _refused_as_stale(answer: Answer) -> bool:
    """Tell whether a router refused the token in time, whatever a further attempt of the client came to."""
    said = answer.outcome == STALE or any(f" {STALE} " in attempt for attempt in answer.tries)
    return said and answer.asked_revision > 0


def _fits(answer: Answer, ledger: Ledger) -> bool:
    if answer.revision < answer.asked_revision or not (answer.right or answer.detail.startswith(_OLDER)):
        return False
    expected = ledger.region_at(answer.question, answer.revision)
    return expected is None or answer.regions == (expected,) or served_elsewhere(answer)


def served_elsewhere(answer: Answer) -> bool:
    """Tell whether the router says that not the first region served, so that the answer cannot show which that was."""
    return any("SERVED_FROM_OTHER_REGION" in each for each in answer.degraded)


def account(done: Done, answers: Sequence[Answer], ledger: Ledger, found: Judgement) -> dict[str, Any]:
    """Return what one fault did, from its beginning until everything was as before."""
    end_s = max(done.healed_s, done.end_s if done.end_s != float("inf") else done.healed_s)
    during = between(answers, done.start_s, end_s)
    ages = [answer.map_age_s for answer in during]
    return {
        "held_s": round(done.healed_s - done.start_s, 1),
        "writable_after_s": _seconds(done.writable_s - done.healed_s),
        "caught_up_after_s": _seconds(done.end_s - done.healed_s),
        "changes": ledger.count(Outcome.DONE, done.start_s, end_s),
        "refused": ledger.count(Outcome.REFUSED, done.start_s, end_s),
        "unknown": ledger.count(Outcome.UNKNOWN, done.start_s, end_s),
        "reasons": ledger.reasons(done.start_s, end_s),
        "reads": len(during),
        "reads_lost": len(between(found.lost, done.start_s, end_s)),
        "lost_as": outcomes(between(found.lost, done.start_s, end_s)),
        "token_refusals": len(between(found.refused, done.start_s, end_s)),
        "p99_ms": latency_ms(during, 0.99),
        "map_age_max_s": max(ages, default=0.0),
    }


def examples(found: Judgement) -> Iterable[str]:
    """Yield a few answers of each kind that must not be, in words."""
    for kind, answers in (("lost", found.lost), ("stale", found.stale), ("wrong", found.wrong)):
        if answers:
            yield f"{kind}: {len(answers)}, by outcome {dict(Counter(answer.outcome for answer in answers))}"
        for answer in answers[:MAX_EXAMPLES]:
            yield f"  {answer}"


def counters(pages: Iterable[str], names: Iterable[str]) -> Mapping[str, int]:
    """Return the sum of each counter over Prometheus pages; 0 for one that is on none."""
    texts = list(pages)
    return {
        name: sum(
            int(float(value))
            for text in texts
            for value in re.findall(rf"^trunkline_{name}_total(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        )
        for name in names
    }


def _seconds(value: float) -> float | None:
    """Return a time for JSON, which knows no infinity."""
    return None if value == float("inf") else round(value, 2)
