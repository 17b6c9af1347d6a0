"""What one replica remembers of the last seconds."""

from __future__ import annotations

from trunkline_admission.levels import WINDOW_S, Evidence
from trunkline_admission.seen import TierSeen
from trunkline_admission.windows import MAX_ROUTERS, ReportWindows


def seen(calls: int = 10, errors: int = 1, utilisation: float = 0.5, tier: str = "pro") -> TierSeen:
    """Return one router's second."""
    return TierSeen(tier, calls, errors, 0, (0, calls), utilisation)


def test_routers_are_summed_up_and_the_fullest_server_counts() -> None:
    """Calls add up, utilisations do not."""
    windows = ReportWindows()
    windows.add([seen(utilisation=0.9)], 100.2)
    windows.add([seen(utilisation=0.3)], 101.9)

    told = (windows.evidence(102.0) or {})["pro"]

    assert (told.calls, told.errors, told.latency_counts[1], told.utilisation) == (20, 2, 20, 0.9)


def test_what_no_lack_of_capacity_caused_is_no_evidence() -> None:
    """Else a level would keep itself up by what it refuses."""
    windows = ReportWindows()
    windows.add([TierSeen("pro", 10, 4, 0, (0, 6), 0.1, limit_errors=3)], 100.2)

    told = (windows.evidence(101.0) or {})["pro"]

    assert (told.calls, told.errors) == (10, 1)


def test_what_is_old_is_forgotten() -> None:
    """Utilisation after a few seconds, calls after the window, and then there is no evidence at all."""
    windows = ReportWindows()
    windows.add([seen()], 100.0)

    assert (windows.evidence(107.0) or {})["pro"].utilisation is None
    assert (windows.evidence(109.0) or {})["pro"].calls == 10
    assert windows.evidence(100.0 + WINDOW_S) is None


def test_a_report_without_calls_is_evidence_of_rest() -> None:
    """A router that nobody asks says that nobody asks."""
    windows = ReportWindows()
    windows.add([], 100.0)

    assert windows.evidence(100.0) == {}


def test_a_clock_that_is_put_back_does_not_keep_the_future() -> None:
    """What was noted for later seconds is dropped."""
    windows = ReportWindows()
    windows.add([seen(errors=9)], 5000.0)
    windows.add([seen(errors=0)], 100.0)

    assert windows.evidence(100.0) == {"pro": Evidence(10, 0, (0, 10, *[0] * 38), 0.5)}


def test_a_sequence_number_is_new_once() -> None:
    """An earlier one neither."""
    windows = ReportWindows()

    assert [windows.is_new("a", number, 1.0, fronts=True) for number in (1, 1, 3, 2, 4)] == [
        True,
        False,
        True,
        False,
        True,
    ]
    assert windows.is_new("b", 1, 1.0, fronts=True)
    assert windows.routers(2.0) == 2
    assert windows.routers(20.0) == 0


def test_who_tells_another_regions_costs_is_no_router() -> None:
    """Its sequence numbers count once, too, and push out no router's."""
    windows = ReportWindows()
    assert windows.is_new("a", 1, 1.0, fronts=True)
    for index in range(2 * MAX_ROUTERS):
        assert windows.is_new(f"costs.{index}", 1, 1.0, fronts=False)

    assert not windows.is_new(f"costs.{index}", 1, 1.0, fronts=False)
    assert not windows.is_new("a", 1, 1.0, fronts=True)
    assert windows.routers(2.0) == 1


def test_memory_is_bounded() -> None:
    """Routers by number, seconds by the window."""
    windows = ReportWindows()
    for index in range(2 * MAX_ROUTERS):
        windows.is_new(f"r{index}", 1, float(index), fronts=True)
        windows.is_new(f"costs.{index}", 1, float(index), fronts=False)
        windows.add([seen()], float(index))

    assert len(windows._routers) == len(windows._others) == MAX_ROUTERS
    assert len(windows._seconds) <= WINDOW_S
