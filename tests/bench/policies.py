"""Routing policies like real ones, of any size, for the benches: the same ones each time."""

from __future__ import annotations

import random
from typing import Final

from trunkline_policy.model import CollectionPolicy, Condition, Keyword, Pattern, RoutingPolicy, Rule

SUBJECTS: Final = (
    "invoice", "payment", "refund", "contract", "salary", "holiday", "laptop", "printer", "network", "password",
    "building", "parking", "travel", "expense", "training", "customer", "supplier", "shipment", "warehouse", "stock",
    "engine", "sensor", "battery", "cable", "firmware", "license", "patent", "audit", "insurance", "tax",
    "campaign", "newsletter", "website", "survey", "forecast", "budget", "server", "database", "backup", "incident",
)  # fmt: skip
ASPECTS: Final = (
    "approval", "status", "template", "history", "deadline", "owner", "error", "report", "policy", "schedule",
    "export", "archive", "renewal", "limit", "address", "number", "request", "change", "review", "list",
    "access", "delay", "cost", "form", "notice",
)  # fmt: skip
QUESTIONS: Final = (
    "How do I get the approval of an invoice?",
    "Who is the owner of the printer in the second building?",
    "What does ticket itm0007-1234 say about the delay of our shipment since last week?",
    "Which deadline applies to the renewal of a contract?",
    "Why is everything so slow today?",
    "Where is the template of the travel expense report, and whom do I send it to when I have filled it in?",
    "Show me what changed.",
    "Is the backup of the database server encrypted?",
)
"""Short questions: some that keywords decide, some that several collections match, some that nothing does."""
MAX_PATTERNS: Final = 256
"""Collections with a pattern of their own; a policy may have 512 patterns."""


def bench_policy(count: int) -> RoutingPolicy:
    """Return a policy of `count` collections, 1 to 1,000: eight keywords each, patterns, rules and few examples."""
    chosen = random.Random(count)
    topics = [f"{subject} {aspect}" for aspect in ASPECTS for subject in SUBJECTS][:count]
    collections = {
        f"{topic.replace(' ', '-')}": _collection(topic, number, chosen) for number, topic in enumerate(topics)
    }
    names = tuple(collections)
    rules = tuple(
        Rule(name=f"department-{number}", when=_department(number, topics[number]), collections=(names[number],))
        for number in range(min(count, 8))
    )
    return RoutingPolicy(version=2, collections=collections, rules=rules)


def _collection(topic: str, number: int, chosen: random.Random) -> CollectionPolicy:
    subject, aspect = topic.split()
    others = chosen.sample(ASPECTS, 3)
    words = [topic, f"{aspect} of an {subject}", f"{subject} {others[0]} {others[1]}", f"kb-{number:04}"]
    words += [f"{subject}{number:03}", f"{aspect}{number:03} {others[2]}", f"team {subject} {aspect}"]
    return CollectionPolicy(
        description=f"Everything about the {aspect} of each {subject}.",
        keywords=(
            *(Keyword(text=word) for word in words),
            Keyword(text=f"not {aspect} {others[0]}", weight=-1.0),
        ),
        patterns=(Pattern(regex=rf"\bitm{number:04}-\d{{3,6}}\b"),) if number < MAX_PATTERNS else (),
        examples=(f"What is the {aspect} of this {subject}?", f"Find the {subject} {aspect}"),
    )


def _department(number: int, topic: str) -> Condition:
    return Condition(attributes={"department": (f"department-{number}",)}, keywords=(topic.split()[0],))
