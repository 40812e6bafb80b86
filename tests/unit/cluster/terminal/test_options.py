from __future__ import annotations

import pytest
import typer

from cluster.terminal.options import read_size


@pytest.mark.parametrize(
    ("text", "num_bytes"), [("16GiB", 16 << 30), ("1.5 kib", 1536), ("2MB", 2_000_000), ("7", 7)]
)
def test_sizes(text: str, num_bytes: int) -> None:
    assert read_size(text) == num_bytes


@pytest.mark.parametrize("text", ["", "GiB", "-1G", "1 GiBs", "0"])
def test_what_is_no_size_is_a_usage_error_with_its_text(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=repr(text)):
        read_size(text)
