"""What quota is counted in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Charge:
    """Requests and cost tokens, spent together. Neither is negative."""

    requests: int
    tokens: int

    def __post_init__(self) -> None:
        """Refuse what no caller may ask for: a negative charge would be a gift."""
        if self.requests < 0 or self.tokens < 0:
            raise ValueError(f"a charge is not negative: {self}")

    def __add__(self, other: Charge) -> Charge:
        """Add both."""
        return Charge(self.requests + other.requests, self.tokens + other.tokens)

    def __bool__(self) -> bool:
        """Return False for nothing at all."""
        return bool(self.requests or self.tokens)

    def within(self, other: Charge) -> bool:
        """Return True if neither is more than in `other`."""
        return self.requests <= other.requests and self.tokens <= other.tokens

    def at_most(self, other: Charge) -> Charge:
        """Return the smaller of each."""
        return Charge(min(self.requests, other.requests), min(self.tokens, other.tokens))

    def less(self, other: Charge) -> Charge:
        """Return what is left after `other`, which must be within this one."""
        return Charge(self.requests - other.requests, self.tokens - other.tokens)


NOTHING: Final = Charge(0, 0)
"""No charge."""
