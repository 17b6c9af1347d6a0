"""What the demonstration shows beyond questions: callers, a session, templates, a lesson, and a mistake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trunkline_cli.demo.scenario import policy_text


@dataclass(frozen=True, slots=True)
class Caller:
    """The same words from another department, and where they must go."""

    department: str
    collection: str


SAME_WORDS: Final = "What is our burn rate?"
CALLERS: Final = (Caller("finance", "accounts"), Caller("engineering", "reliability"))
"""Who asks `SAME_WORDS` of cedar."""

FOLLOW_UP: Final = "Show me an example of that"
"""Asked of aurora after `SESSION`; alone it belongs nowhere."""
SESSION: Final = ("Explain the difference between async and threading", "concurrency")
"""The question before, and the collection in which an example of it is."""

GENERATION: Final = (
    ("Explain the difference between async and threading", "compare"),
    ("How do I read a CSV file with a header row?", "how-to"),
)
"""Questions of aurora and the prompt template that is picked for each."""

LESSON_TENANT: Final = "birch"
LESSON_WORD: Final = "abacus"
"""What birch's teams call their numbers library. No policy knows it until feedback has taught it."""
LESSON_COLLECTION: Final = "numbers"
LESSONS: Final = tuple(
    text.format(LESSON_WORD)
    for text in (
        "What does {} return for an empty list?",
        "Is {} safe to call from several places?",
        "How do I install {}?",
        "Which version of {} do we use?",
        "Why is {} so slow today?",
        "Show me the options of {}",
        "Where is {} documented?",
        "Does {} check its arguments?",
        "Who changed {} last week?",
        "Can {} be used in a notebook?",
        "What replaces {} in the new release?",
        "How do I call {} in a loop?",
        "My build fails because of {}",
        "What is the exit code of {}?",
        "Does {} keep its results?",
        "How do I upgrade {}?",
        "Why does {} print a warning?",
        "Which types does {} accept?",
        "Is there a shorter name for {}?",
        "How is {} tested?",
        "Does {} work on another platform?",
        "What are the limits of {}?",
        "How do I report a fault of {}?",
        "Why was {} renamed?",
    )
)
"""What birch's people ask about it. Each caller corrects the decision that the policy makes."""
LESSON_CALLERS: Final = 8
"""People who say so; one alone would not be believed."""
LESSON_PROBE: Final = f"Please explain {LESSON_WORD} to a new colleague"
"""Asked before and after; nobody gave feedback on it."""

MISTAKE_TENANT: Final = "cedar"
MISTAKE_QUESTION: Final = ("Which invoice was paid twice?", "accounts", "reliability")
"""A question, where it belongs, and where the bad policy sends it."""


def mistaken_policy() -> str:
    """Return the policy that somebody puts live by mistake, YAML."""
    return policy_text(f"{MISTAKE_TENANT}-mistake")
