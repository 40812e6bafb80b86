"""What is shown while weights are imported: a bar on a terminal, log lines elsewhere. All on standard error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from models.progress import LogProgress, Progress


class BarProgress:
    """One line for each step. Its bar moves when bytes are reported and pulses while none are."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._current: TaskID | None = None

    def step(self, message: str) -> None:
        """End the line of the last step and begin a new one."""
        self.finish()
        self._current = self._bars.add_task(message, total=None)

    def advance(self, done_bytes: int, total_bytes: int) -> None:
        """Move the bar of the current step."""
        if self._current is not None:
            self._bars.update(self._current, completed=done_bytes, total=total_bytes)

    def finish(self) -> None:
        """Stop the clock of the current step."""
        if self._current is not None:
            self._bars.stop_task(self._current)


@contextmanager
def shown_progress(console: Console) -> Iterator[Progress]:
    """Progress on ``console``, whatever that is connected to."""
    if console.is_terminal:
        columns = (
            SpinnerColumn(finished_text="-"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            DownloadColumn(),
            TimeElapsedColumn(),
        )
        with Bars(*columns, console=console) as bars:
            progress = BarProgress(bars)
            yield progress
            progress.finish()
    else:
        with _logger(console) as logger:
            yield LogProgress(logger)


@contextmanager
def _logger(console: Console) -> Iterator[logging.Logger]:
    """Lines with the time, on the console alone."""
    logger = logging.getLogger("stowage.import")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    handler = logging.StreamHandler(console.file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    try:
        yield logger
    finally:
        logger.removeHandler(handler)
