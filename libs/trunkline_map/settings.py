"""Times of the map's watch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """All in seconds. The defaults suit production; tests shorten them."""

    call_timeout_s: float = 3.0
    """Bound of one read."""
    progress_every_s: float = 30.0
    """How often a sign of life is asked for; bounds the age of a healthy map."""
    silence_s: float = 10.0
    """A stream that does not answer for so long is given up."""
    audit_every_s: float = 300.0
    """How often the map is compared with the store."""
    audit_settle_s: float = 2.0
    """Events on their way get so long to arrive before a difference counts."""
    catch_up_every_s: float = 0.5
    """At most this often the store is asked whether a wanted revision differs from ours."""
    lag_s: float = 1.0
    """A stream that brings nothing for so long, although the store has what somebody waits for, is given up."""
    pause_check_s: float = 1.0
    """How often the clock is looked at for a pause of this process."""
    pause_s: float = 3.0
    """A process that stood still for so long asks at once whether its stream lives."""
    pause_silence_s: float = 2.0
    """How long the answer to that may take."""
    backoff_min_s: float = 0.05
    """First pause after a break; each is drawn between 0 and the current bound, which doubles."""
    backoff_max_s: float = 2.0
    """Largest pause after a break."""
