"""A place belongs to one living process."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from deployments.args import Place
from deployments.place_ledger import PlaceLedger
from models.errors import ConfigError
from models.types import VersionId
from tests.unit.source_tree import ROOT

MODEL = VersionId("minilm", "1")
FIRST, SECOND = (Place(node="a", devices=(index,)) for index in (0, 1))

# Claims a place of two, says which, and keeps it until it is killed.
REPLICA = """
import sys, time
from pathlib import Path
from deployments.args import Place
from deployments.place_ledger import PlaceLedger
from models.types import VersionId

places = [Place(node="a", devices=(index,)) for index in (0, 1)]
claim = PlaceLedger(Path(sys.argv[1])).claim(VersionId("minilm", "1"), places, wait_s=5)
print(claim.places[0].devices[0], flush=True)
time.sleep(60)
"""


def start_replica(folder: Path) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", REPLICA, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as said:
        return process, int(said.readline())


def test_a_killed_replica_leaves_its_place_to_the_next(tmp_path: Path) -> None:
    replicas = [start_replica(tmp_path) for _ in range(2)]
    try:
        assert {device for _, device in replicas} == {0, 1}
        killed, place = replicas.pop(0)
        killed.kill()
        killed.wait()
        assert PlaceLedger(tmp_path).claim(MODEL, [FIRST, SECOND], wait_s=5).places[0].devices == (place,)
    finally:
        for process, _ in replicas:
            process.kill()
            process.wait()


def test_one_replica_too_many_is_told(tmp_path: Path) -> None:
    ledger = PlaceLedger(tmp_path)
    claims = [ledger.claim(MODEL, [FIRST, FIRST], wait_s=0) for _ in range(2)]
    assert [claim.places[0] for claim in claims] == [FIRST, FIRST]
    with pytest.raises(ConfigError, match="all 2 places of minilm@1 on this node are taken"):
        ledger.claim(MODEL, [FIRST, FIRST], wait_s=0)


def test_a_node_without_a_place_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="all 0 places"):
        PlaceLedger(tmp_path).claim(MODEL, [], wait_s=0)


def test_a_place_that_becomes_free_is_waited_for(tmp_path: Path) -> None:
    ledger = PlaceLedger(tmp_path)
    taken = ledger.claim(MODEL, [FIRST], wait_s=0)
    timer = threading.Timer(0.3, taken.release)
    timer.start()
    began = time.monotonic()
    assert ledger.claim(MODEL, [FIRST], wait_s=30).places[0] == FIRST
    assert time.monotonic() - began < 10
    timer.join()


def test_models_have_places_of_their_own(tmp_path: Path) -> None:
    ledger = PlaceLedger(tmp_path)
    claims = [ledger.claim(VersionId("minilm", version), [FIRST], wait_s=0) for version in ("1", "2")]
    assert [claim.places[0] for claim in claims] == [FIRST, FIRST]
