"""Real processes take their turns on a device, and the dead hold up nobody."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from models.errors import ConfigError
from models.start_lock import Holder, StartLock
from tests.unit.source_tree import ROOT

# Loads for a while, and writes when its load began and ended, by the clock that all processes share.
REPLICA = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from models.start_lock import StartLock

folder, name, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
lock = StartLock(folder / "locks", "gpu-0", lambda: datetime.now(UTC))
with lock.held_by(name, lambda holder: (folder / f"{name}.waits").write_text(str(holder))):
    began = time.monotonic()
    (folder / f"{name}.began").touch()
    time.sleep(seconds)
    (folder / f"{name}.load").write_text(f"{began} {time.monotonic()}")
"""


def start_replica(folder: Path, name: str, seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", REPLICA, str(folder), name, str(seconds)], cwd=ROOT)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


def lock_in(folder: Path, device: str = "gpu-0") -> StartLock:
    return StartLock(folder / "locks", device, lambda: datetime.now(UTC))


def ignore(holder: Holder | None) -> None:
    """For a test that need not know whom it waits for."""


def test_loads_of_replicas_started_together_do_not_overlap(tmp_path: Path) -> None:
    replicas = [start_replica(tmp_path, name, 0.3) for name in ("a@1", "b@1", "c@1")]
    assert [replica.wait(60) for replica in replicas] == [0, 0, 0]
    loads = sorted(tuple(map(float, path.read_text().split())) for path in tmp_path.glob("*.load"))
    assert len(loads) == 3
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(loads))


def test_who_waits_learns_who_holds_the_lock(tmp_path: Path) -> None:
    first = start_replica(tmp_path, "a@1", 60)
    wait_for(tmp_path / "a@1.began")
    second = start_replica(tmp_path, "b@1", 0)
    wait_for(tmp_path / "b@1.waits")
    first.kill()
    first.wait()
    assert second.wait(60) == 0
    assert (tmp_path / "b@1.waits").read_text().startswith(f"a@1 (process {first.pid}, since ")


def test_a_holder_that_is_killed_frees_the_lock(tmp_path: Path) -> None:
    killed = start_replica(tmp_path, "a@1", 60)
    wait_for(tmp_path / "a@1.began")
    killed.kill()
    killed.wait()
    holder = lock_in(tmp_path).holder()
    assert holder is not None
    assert (holder.name, holder.pid) == ("a@1", killed.pid)
    waited: list[Holder | None] = []
    with lock_in(tmp_path).held_by("b@1", waited.append):
        assert lock_in(tmp_path).holder() != holder
    assert waited == []
    assert lock_in(tmp_path).holder() is None


def test_a_load_that_fails_frees_the_lock(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock_in(tmp_path).held_by("a@1", ignore):
        raise ZeroDivisionError
    assert lock_in(tmp_path).holder() is None
    with lock_in(tmp_path).held_by("b@1", ignore):
        pass


def test_devices_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with (
        lock_in(tmp_path, "gpu-0").held_by("a@1", ignore),
        lock_in(tmp_path, "gpu-MIG-GPU-1/2/0").held_by("b@1", ignore),
    ):
        holders = [lock_in(tmp_path, device).holder() for device in ("gpu-0", "gpu-MIG-GPU-1/2/0")]
    assert [holder.name for holder in holders if holder] == ["a@1", "b@1"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match="locks"), lock_in(tmp_path).held_by("a@1", ignore):
        pytest.fail("there is no lock to hold")
