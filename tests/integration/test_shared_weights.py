"""Replicas on one node share the pages of their memory-mapped weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from models.store import open_store
from models.types import VersionId
from tests.integration.cluster import ROOT, Cluster

MIB = 1024**2

LOADER = """
import sys
from pathlib import Path
from models.engines.base import EngineSettings
from models.engines.registry import create_engine
from models.store import open_store
from models.types import VersionId

stored = open_store(sys.argv[1]).get(VersionId.parse(sys.argv[2]))
settings = EngineSettings(max_model_len=64, num_kv_pages=16, page_size=32, max_num_seqs=1)
engine = create_engine("transformers", stored.folder, stored.manifest, settings)
weights = sum(float(tensor.double().abs().sum()) for tensor in engine._manager.model.parameters())
print("loaded", flush=True)
sys.stdin.readline()
engine.close()
"""


def test_two_engines_hold_one_copy_of_the_weights(cluster: Cluster, store_folder: Path) -> None:
    weight_bytes = open_store(str(store_folder)).get(VersionId("smollm2-135m", "1")).manifest.weight_bytes
    command = [sys.executable, "-c", LOADER, str(store_folder), "smollm2-135m@1"]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "loaded"
        private = [_private_bytes(process.pid) for process in processes]
        mapped = [_mapped_pss_and_rss(process.pid, "model.safetensors") for process in processes]
    finally:
        for process in processes:
            process.communicate("\n", timeout=60)
    for pss, rss in mapped:
        assert rss > 0.9 * weight_bytes
        assert pss < 0.6 * weight_bytes
    assert max(private) < weight_bytes + 200 * MIB


def _mapped_pss_and_rss(pid: int, file_name: str) -> tuple[int, int]:
    """Bytes of the mappings of one file: proportional share, and resident."""
    pss = rss = 0
    inside = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        fields = line.split()
        if "-" in fields[0] and not fields[0].endswith(":"):
            inside = fields[-1].endswith(file_name)
        elif inside and fields[0] == "Pss:":
            pss += int(fields[1]) * 1024
        elif inside and fields[0] == "Rss:":
            rss += int(fields[1]) * 1024
    return pss, rss


def _private_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))
