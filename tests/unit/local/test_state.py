"""The state file and whose it is."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from trunkline_local.background import read_status
from trunkline_local.errors import LocalError, SpecError, StackRunningError
from trunkline_local.proc import ProcessMark
from trunkline_local.run_dir import RunDir
from trunkline_local.spec import Layout, Service
from trunkline_local.state import FORMAT, Phase, ProcessRecord, ProcessState, RegionRecord, StackState, read_state


def _state(run_dir: Path, *, owner: ProcessMark, phase: Phase = Phase.RUNNING) -> StackState:
    return StackState(
        format=FORMAT,
        run_id="0123456789abcdef",
        owner=owner,
        phase=phase,
        layout=Layout.PER_SERVICE,
        started_at_s=1.5,
        run_dir=run_dir,
        etcd_endpoints=("127.0.0.1:1",),
        triton_endpoint="127.0.0.1:2",
        triton_http_endpoint="127.0.0.1:3",
        control_endpoint="127.0.0.1:4",
        control_metrics="http://127.0.0.1:5/metrics",
        regions=(
            RegionRecord(
                region_id="eu-west",
                jurisdiction="eu",
                valkey_url="redis://127.0.0.1:6/0",
                endpoints={Service.ROUTING: "127.0.0.1:7"},
                metrics={Service.ROUTING: "http://127.0.0.1:8/metrics"},
            ),
        ),
        processes=(
            ProcessRecord(
                name="triton",
                region_id=None,
                state=ProcessState.DEAD,
                pid=None,
                exit_code=-9,
                log_path=run_dir / "logs" / "triton.log",
            ),
        ),
        identity_dir=run_dir / "identity",
        issuer="trunkline-local",
        tokens={"operator": run_dir / "identity" / "tokens" / "operator.jwt"},
    )


def test_survives_the_file_unchanged(tmp_path: Path) -> None:
    """What is read is what was written, by its owner alone."""
    state = _state(tmp_path, owner=ProcessMark.own())
    state.write()
    assert read_state(tmp_path) == state
    assert stat.S_IMODE((tmp_path / "stack.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["stack.json"]


def test_living_owner_is_running(tmp_path: Path) -> None:
    """A state whose owner lives is in force."""
    _state(tmp_path, owner=ProcessMark.own()).write()
    status = read_status(tmp_path)
    assert (status.running, status.stale) == (True, False)


OWN = ProcessMark.own()


@pytest.mark.parametrize(
    "owner",
    [
        pytest.param(replace(OWN, start_ticks=1), id="id given to a later process"),
        pytest.param(replace(OWN, boot_id="other"), id="machine restarted"),
        pytest.param(replace(OWN, pid=2**22 + 1), id="process gone"),
    ],
)
def test_dead_owner_is_stale(tmp_path: Path, owner: ProcessMark) -> None:
    """A living process with the same id is not taken for the owner."""
    _state(tmp_path, owner=owner).write()
    status = read_status(tmp_path)
    assert (status.running, status.stale) == (False, True)


def test_stopped_stack_is_neither_running_nor_stale(tmp_path: Path) -> None:
    """After an orderly stop there is nothing to clear away, even while its last owner lives on."""
    _state(tmp_path, owner=ProcessMark.own(), phase=Phase.STOPPED).write()
    status = read_status(tmp_path)
    assert (status.running, status.stale) == (False, False)


def test_no_file_is_no_stack(tmp_path: Path) -> None:
    """A folder without a state has no stack."""
    assert read_status(tmp_path).state is None


def test_state_of_another_version_is_told(tmp_path: Path) -> None:
    """A file that cannot be understood is an error with advice, not a guess."""
    (tmp_path / "stack.json").write_text("{}")
    with pytest.raises(LocalError, match="another version"):
        read_status(tmp_path)


def test_run_directory_has_one_owner(tmp_path: Path) -> None:
    """A second owner is refused with the first one's process id, until that lets go."""
    first = RunDir(tmp_path / "run")
    with pytest.raises(StackRunningError, match=str(os.getpid())):
        RunDir(tmp_path / "run")
    first.release()
    RunDir(tmp_path / "run").release()


def test_foreign_folder_is_never_emptied(tmp_path: Path) -> None:
    """A folder that holds other files is refused, and its files stay."""
    (tmp_path / "data").mkdir()
    with pytest.raises(SpecError):
        RunDir(tmp_path)
    assert (tmp_path / "data").is_dir()


@pytest.mark.parametrize("keep", [True, False])
def test_prepare_removes_what_a_run_left(tmp_path: Path, keep: bool) -> None:
    """Logs and keys go with every start; data only unless it is to be kept."""
    run_dir = RunDir(tmp_path)
    for name in ("logs", "identity", "data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    run_dir.prepare(keep_data=keep)
    run_dir.release()
    assert [name for name in ("logs", "identity", "data") if (tmp_path / name / "file").exists()] == ["data"] * keep


def test_mark_of_a_process_is_unique_in_time() -> None:
    """The same id with another start is another process."""
    own = ProcessMark.own()
    assert own.alive()
    assert not replace(own, start_ticks=own.start_ticks + 1).alive()
