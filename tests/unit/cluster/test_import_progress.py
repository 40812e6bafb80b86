from __future__ import annotations

import io
import re

from rich.console import Console

from cluster.import_progress import shown_progress


def test_a_terminal_gets_a_bar_for_each_step() -> None:
    screen = io.StringIO()
    with shown_progress(Console(file=screen, force_terminal=True, width=120)) as progress:
        progress.step("copying [weights]")
        progress.advance(512, 1024)
        progress.step("converting")
    assert "copying [weights]" in screen.getvalue()
    assert "0.5/1.0 kB" in screen.getvalue()
    assert "converting" in screen.getvalue()


def test_anything_else_gets_lines_with_the_time() -> None:
    log = io.StringIO()
    with shown_progress(Console(file=log)) as progress:
        progress.step("copying")
        progress.advance(1, 2)
    with shown_progress(Console(file=log)) as progress:
        progress.step("converting")
    lines = log.getvalue().splitlines()
    assert [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in lines] == ["copying", "converting"]
