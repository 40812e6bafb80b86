from __future__ import annotations

import pytest
import typer

from cluster.terminal.options import read_duration, read_share, read_size


@pytest.mark.parametrize(
    ("text", "num_bytes"), [("16GiB", 16 << 30), ("1.5 kib", 1536), ("2MB", 2_000_000), ("7", 7)]
)
def test_sizes(text: str, num_bytes: int) -> None:
    assert read_size(text) == num_bytes


@pytest.mark.parametrize("text", ["", "GiB", "-1G", "1 GiBs", "0"])
def test_what_is_no_size_is_a_usage_error_with_its_text(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=repr(text)):
        read_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("24h", 86400), ("90d", 7776000), ("0.5h", 1800), ("0s", 0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "h", "-1h", "1 h", "3y", "1h30m"])
def test_what_is_no_duration_is_a_usage_error_with_its_text(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=repr(text)):
        read_duration(text)


@pytest.mark.parametrize(("text", "share"), [("1%", 0.01), ("0.01", 0.01), ("0.5%", 0.005), ("0", 0), ("100%", 1)])
def test_shares(text: str, share: float) -> None:
    assert read_share(text) == share


@pytest.mark.parametrize("text", ["", "%", "2", "101%", "-1%", "nan", "half"])
def test_what_is_no_share_is_a_usage_error_with_its_text(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=repr(text)):
        read_share(text)
