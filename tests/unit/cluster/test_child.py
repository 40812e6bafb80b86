from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

import pytest

from cluster.child import ChildProcess, Patience, StopSignals

QUICK = Patience(interrupt_s=0.5, terminate_s=0.5, kill_s=5)


def start(program: str) -> tuple[ChildProcess, list[str]]:
    lines: list[str] = []
    return ChildProcess([sys.executable, "-u", "-c", program], os.environ, lines.append), lines


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """A zombie, which nobody may be there to reap, counts as dead."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_output_is_passed_on_and_its_end_is_kept_with_the_exit_code() -> None:
    child, lines = start("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    wait_until(lambda: child.exit_code() is not None)
    assert child.exit_code() == 3
    assert child.last_lines() == lines == ["out", "err"]


def test_a_child_is_interrupted_as_if_by_ctrl_c() -> None:
    child, lines = start(
        "import time\ntry:\n  print('up')\n  time.sleep(60)\nexcept KeyboardInterrupt: print('clean shutdown')"
    )
    wait_until(lambda: lines == ["up"])
    child.stop(Patience())
    assert child.exit_code() == 0
    assert lines == ["up", "clean shutdown"]


def test_a_child_that_ignores_every_request_is_killed() -> None:
    child, lines = start(
        "import signal, time\nfor s in (2, 15): signal.signal(s, signal.SIG_IGN)\nprint('up')\ntime.sleep(60)"
    )
    wait_until(lambda: lines == ["up"])
    child.stop(QUICK)
    assert child.exit_code() == -signal.SIGKILL


def test_no_descendant_is_left_behind() -> None:
    program = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(p.pid)\ntime.sleep(60)"
    )
    child, lines = start(program)
    wait_until(lambda: len(lines) == 1)
    assert is_alive(int(lines[0]))
    child.stop(QUICK)
    wait_until(lambda: not is_alive(int(lines[0])))


def test_stopping_a_dead_child_is_harmless() -> None:
    child, _ = start("pass")
    wait_until(lambda: child.exit_code() == 0)
    child.stop(QUICK)
    assert child.exit_code() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stop_signals_are_remembered_and_the_old_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopSignals() as signals:
        assert not signals.wait(0.01)
        os.kill(os.getpid(), number)
        assert signals.wait(5)
    assert signal.getsignal(number) is before


def test_under_nohup_a_closed_terminal_stops_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not signals.wait(0.05)
    finally:
        signal.signal(signal.SIGHUP, before)
