"""A child process in a group of its own, whose output is passed on and of which nothing is left behind."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType, TracebackType

Handler = Callable[[int, FrameType | None], object] | int | None


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait after each signal before the next, harder one."""

    interrupt_s: float = 30.0
    terminate_s: float = 10.0
    kill_s: float = 5.0


class StopSignals:
    """While entered, SIGINT, SIGTERM and SIGHUP are remembered instead of ending this process."""

    def __init__(self) -> None:
        self._received: queue.SimpleQueue[int] = queue.SimpleQueue()  # its put() is safe in a signal handler
        self._previous: dict[int, Handler] = {}

    def __enter__(self) -> StopSignals:
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
            numbers.append(signal.SIGHUP)
        for number in numbers:
            self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def wait(self, timeout_s: float) -> bool:
        """True as soon as one of the signals is there, False after ``timeout_s``."""
        try:
            self._received.get(timeout=timeout_s)
        except queue.Empty:
            return False
        return True

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self._received.put(number)


class ChildProcess:
    """Starts ``command`` at once. ``on_line`` gets each line of its output, on a thread of its own.

    The group keeps a terminal's Ctrl-C from the child and its descendants: they are stopped once, in order, by
    ``stop``.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_line: Callable[[str], None],
        num_last_lines: int = 30,
    ) -> None:
        self._last: deque[str] = deque(maxlen=num_last_lines)
        self._on_line = on_line
        self._process = subprocess.Popen(  # noqa: S603 - the command is built by the caller, not typed by a user
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.poll()

    def last_lines(self) -> list[str]:
        """The end of the output. Complete once the child is dead, but for what its descendants still write."""
        if self.exit_code() is not None:
            self._reader.join(timeout=2.0)
        return list(self._last)

    def stop(self, patience: Patience) -> None:
        """SIGINT, SIGTERM, SIGKILL in turn until it is gone; then the end of what it left in its group."""
        waits = (
            (signal.SIGINT, patience.interrupt_s),
            (signal.SIGTERM, patience.terminate_s),
            (signal.SIGKILL, patience.kill_s),
        )
        for number, wait_s in waits:
            if self._ended_after(number, wait_s):
                break
        self._sweep_group(patience.terminate_s)
        self._reader.join(timeout=2.0)

    def _ended_after(self, number: signal.Signals, wait_s: float) -> bool:
        if self.exit_code() is None:
            self._process.send_signal(number)
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _sweep_group(self, wait_s: float) -> None:
        """Descendants notice that their parent is gone and end; after ``wait_s`` the rest is killed."""
        deadline = time.monotonic() + wait_s
        while self._signal_group(0) and time.monotonic() < deadline:
            time.sleep(0.05)
        self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: int) -> bool:
        """False when the group is empty."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def _read(self) -> None:
        if output := self._process.stdout:
            with output:
                for line in output:
                    self._last.append(line.rstrip("\n"))
                    self._on_line(line.rstrip("\n"))
