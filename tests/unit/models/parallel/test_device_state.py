"""How much a rank can still take: of the node, and of the control groups around it."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from models.parallel.device_state import cpu_state, free_memory_bytes

MIB = 2**20


@pytest.fixture
def process(tmp_path: Path) -> Path:
    (tmp_path / "cgroup").write_text("1:name=systemd:/other\n0::/pods/one\n")
    return tmp_path


def limit(folder: Path, limit: str, current: int) -> None:
    """A group that uses ``current`` bytes, one MiB of it pages of files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{current}\n")
    (folder / "memory.stat").write_text(
        f"anon {current - MIB}\ninactive_file {MIB // 2}\nactive_file {MIB // 2}\n"
    )


def test_the_tightest_group_decides(process: Path, tmp_path: Path) -> None:
    limit(tmp_path / "groups" / "pods" / "one", "max", 5 * MIB)
    limit(tmp_path / "groups" / "pods", f"{20 * MIB}", 5 * MIB)
    assert free_memory_bytes(process, tmp_path / "groups") == 16 * MIB
    limit(tmp_path / "groups" / "pods" / "one", f"{8 * MIB}", 5 * MIB)
    assert free_memory_bytes(process, tmp_path / "groups") == 4 * MIB


def test_in_a_container_the_root_is_its_own_group(process: Path, tmp_path: Path) -> None:
    (process / "cgroup").write_text("0::/\n")
    limit(tmp_path / "groups", f"{20 * MIB}", 5 * MIB)
    assert free_memory_bytes(process, tmp_path / "groups") == 16 * MIB


@pytest.mark.parametrize("lines", ["0::/of/another/namespace\n", "4:memory:/version/one\n"])
def test_without_a_limit_the_node_decides(process: Path, tmp_path: Path, lines: str) -> None:
    (process / "cgroup").write_text(lines)
    free = free_memory_bytes(process, tmp_path / "groups")
    assert 0 < free <= psutil.virtual_memory().total


def test_the_memory_of_this_process_is_held_already(tmp_path: Path) -> None:
    state = cpu_state(tmp_path)
    assert (state.identity, state.name) == ("cpu", "cpu")
    assert 0 < state.held_bytes < psutil.virtual_memory().total
    assert str(state) == f"cpu with {state.free_bytes / 2**30:.1f} GiB free"
