"""What was spent before it was granted, and is still to be booked."""

from __future__ import annotations

from trunkline_lease.charge import NOTHING, Charge


class Advance:
    """Advances of one lease. Their allowance comes back with a grant only, so what is out is bounded.

    An advance whose booking was lost on the way is booked again: it may count twice at the authority, and never not
    at all.
    """

    __slots__ = ("_out", "_unbooked")

    def __init__(self) -> None:
        """Nothing is out."""
        self._out = NOTHING
        self._unbooked = NOTHING

    @property
    def unbooked(self) -> Charge:
        """What no ask has carried yet."""
        return self._unbooked

    def room(self, limit: Charge) -> Charge:
        """Return how much may still be advanced where `limit` may be out."""
        return limit.less(self._out.at_most(limit))

    def give(self, charge: Charge) -> None:
        """Note an advance."""
        self._out += charge
        self._unbooked += charge

    def book(self, most: Charge) -> Charge:
        """Return up to `most` for the next ask to carry."""
        booked = self._unbooked.at_most(most)
        self._unbooked = self._unbooked.less(booked)
        return booked

    def unbook(self, charge: Charge) -> None:
        """Take note that the ask which carried it got no answer."""
        self._unbooked += charge
        self._out = Charge(
            max(self._out.requests, self._unbooked.requests), max(self._out.tokens, self._unbooked.tokens)
        )

    def covered(self, granted: Charge) -> None:
        """Take note of a grant: whatever of its currencies was booked before it is paid for.

        A grant of tokens alone pays for no requests: their limit may be used up, and would begin anew with each one.
        """
        self._out = Charge(
            self._unbooked.requests if granted.requests else self._out.requests,
            self._unbooked.tokens if granted.tokens else self._out.tokens,
        )
