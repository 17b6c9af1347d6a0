"""What all calls of a client share, and what one call gives back."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic

from trunkline_client.budget import RetryBudget
from trunkline_client.credential import Credential
from trunkline_client.errors import Attempt
from trunkline_client.methods import ResponseT
from trunkline_client.pool import RouterPool
from trunkline_client.residency import ResidencyMemory
from trunkline_client.router import RouterAddress
from trunkline_client.settings import ClientSettings
from trunkline_client.watch import RouterWatch


@dataclass(frozen=True, slots=True)
class Context:
    """The parts that a client's calls have in common."""

    pool: RouterPool
    watch: RouterWatch
    budget: RetryBudget
    credential: Credential
    memory: ResidencyMemory
    settings: ClientSettings
    rng: random.Random = field(default_factory=random.Random)
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class Answer(Generic[ResponseT]):
    """A response, the router that gave it, and every attempt that led there."""

    response: ResponseT
    router: RouterAddress
    attempts: tuple[Attempt, ...]
