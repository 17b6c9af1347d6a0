"""Who asks what in the demonstration, and where everything lives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

LOST_REGION: Final = "eu-west"
"""The region that is killed."""
OTHER_REGION: Final = "us-east"
"""The region in which aurora's collections go on."""
PRIVATE_COLLECTION: Final = "data-formats"
"""The collection whose data may be in the EU alone."""
PRIVATE_QUESTION: Final = "How do I read a CSV file with a header row?"


@dataclass(frozen=True, slots=True)
class CollectionPlan:
    """Where a collection lives and may live."""

    placement: tuple[str, ...]
    jurisdictions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TenantPlan:
    """A tenant of the demonstration."""

    tenant_id: str
    tier: str
    jurisdictions: tuple[str, ...]
    near: str
    """Region of the router that it asks first."""
    collections: Mapping[str, CollectionPlan]

    def policy(self) -> str:
        """Return the tenant's policy, YAML."""
        return policy_text(self.tenant_id)


def policy_text(name: str) -> str:
    """Return a policy that comes with the demonstration, YAML."""
    return files("trunkline_cli.demo").joinpath("policies", f"{name}.yaml").read_text(encoding="utf-8")


TENANTS: Final = (
    TenantPlan(
        "aurora",
        "enterprise",
        ("eu", "us"),
        "eu-west",
        {
            "debugging": CollectionPlan(("eu-west", "us-east"), ("eu", "us")),
            "concurrency": CollectionPlan(("eu-west", "us-east"), ("eu", "us")),
            "networking": CollectionPlan(("us-east", "eu-west"), ("eu", "us")),
            "files": CollectionPlan(("eu-west", "us-east"), ("eu", "us")),
            PRIVATE_COLLECTION: CollectionPlan(("eu-west",), ("eu",)),
        },
    ),
    TenantPlan(
        "birch",
        "pro",
        ("apac", "us"),
        "ap-south",
        {
            "text": CollectionPlan(("ap-south", "us-east"), ("apac", "us")),
            "numbers": CollectionPlan(("ap-south",), ("apac",)),
            "language": CollectionPlan(("us-east", "ap-south"), ("apac", "us")),
            "testing": CollectionPlan(("ap-south", "us-east"), ("apac", "us")),
        },
    ),
    TenantPlan(
        "cedar",
        "free",
        ("us",),
        "us-east",
        {
            "accounts": CollectionPlan(("us-east",), ("us",)),
            "reliability": CollectionPlan(("us-east",), ("us",)),
        },
    ),
)


@dataclass(frozen=True, slots=True)
class Question:
    """A question and what its answer must show for the demonstration to have worked."""

    tenant_id: str
    text: str
    collections: frozenset[str] | None
    """Collections that must be among the chosen ones; empty: none may be chosen; None: any."""
    note: str = ""
    deadline_s: float = 10.0
    degradation: str = ""
    """Degradation that must stand in the trail."""
    cached: bool = False
    """The decision must come from the cache."""


def _of(tenant_id: str, text: str, *collections: str) -> Question:
    return Question(tenant_id, text, frozenset(collections))


_LEAKS: Final = "How to debug memory leaks in Python?"

QUESTIONS: Final[Sequence[Question]] = (
    _of("aurora", _LEAKS, "debugging"),
    _of("aurora", "Explain the difference between async and threading", "concurrency"),
    _of("aurora", "How can I see which part of my program is slow?", "debugging"),
    _of("aurora", "Wait for many tasks and cancel the rest when one fails", "concurrency"),
    _of("aurora", "Which option lets a server reuse the address of a TCP socket?", "networking"),
    _of("aurora", PRIVATE_QUESTION, PRIVATE_COLLECTION),
    _of("aurora", "Set a breakpoint and look at the frames of a traceback", "debugging"),
    _of("aurora", "Start a thread pool and share a semaphore", "concurrency"),
    _of("aurora", "Unpack a zip archive into a folder", "files"),
    Question(
        "aurora",
        "Receive data from a socket and keep it in a temporary file",
        frozenset({"networking", "files"}),
        "spans two collections",
    ),
    Question("aurora", "Which flour makes the best sourdough bread?", frozenset(), "belongs nowhere"),
    Question("aurora", _LEAKS, frozenset({"debugging"}), "asked before: the decision is remembered", cached=True),
    Question(
        "aurora",
        _LEAKS,
        frozenset({"debugging"}),
        "a deadline of 75 ms is too short for reranking",
        deadline_s=0.075,
        degradation="RERANK_SKIPPED_DEADLINE",
    ),
    _of("birch", "How do I wrap a long line of text at 70 characters?", "text"),
    _of("birch", "How many days are there between two dates?", "numbers"),
    _of("birch", "Count how often each word occurs in a list", "language"),
    _of("birch", "Replace a function with a mock while a test runs", "testing"),
    _of("birch", "Match a postal code with a regular expression", "text"),
    _of("birch", "Turn a decimal into a fraction", "numbers"),
    _of("birch", "Keep the name of a function behind a decorator", "language"),
    _of("cedar", "Which invoice was paid twice?", "accounts"),
    _of("cedar", "Who is on call during the next incident?", "reliability"),
    Question("birch", "Which flour makes the best sourdough bread?", frozenset({"language"}), "goes to the fallback"),
)

STEADY_QUESTIONS: Final = (
    "Where does this program leak memory? tracemalloc",
    "Print a traceback of an exception",
    "Limit the number of coroutines with a semaphore",
    "asyncio queue with several consumers",
    "Make a temporary file and remove it afterwards",
)
"""Asked over and over while the region is lost; all belong to collections of {eu, us}."""
