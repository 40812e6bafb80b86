"""The README's own calls, run against a real cluster: they print what it says they print."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.integration.cluster import BIN, ROOT, Cluster
from tests.integration.printed import matches, same
from tests.markdown import Example, blocks, examples

README = (ROOT / "README.md").read_text()
ADDRESS = "127.0.0.1:8000"
GRPC_ADDRESS = "127.0.0.1:9000"
STARTED, *CALLS = examples(README)


def run(example: Example, cluster: Cluster) -> str:
    """What the example prints. Its address and its configuration become those of ``cluster``."""
    text = example.command.text.replace(ADDRESS, cluster.base_url.removeprefix("http://"))
    text = text.replace("serve_config.yaml", str(cluster.folder / "serve_config.yaml"))
    shell = ["bash", "-euc", text] if example.command.language == "sh" else [sys.executable, "-c", text]
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        shell, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "PATH": path}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.command.text.split("\n", 1)[0][:60])
def test_a_call_prints_what_the_readme_says(cluster: Cluster, call: Example) -> None:
    printed = run(call, cluster)
    if call.output.language == "json":
        assert same(json.loads(call.output.text), json.loads(printed)), printed
    else:
        assert matches(_one_piece(call.output.text), _one_piece(printed)), printed


def _one_piece(printed: str) -> str:
    """Without the bars between the pieces of a stream: of tokens that are ready together one piece is made."""
    return printed.replace("|", "")


def test_a_stream_comes_in_pieces(cluster: Cluster) -> None:
    (call,) = (each for each in CALLS if "stream=True" in each.command.text)
    (line,) = (each for each in run(call, cluster).splitlines() if "|" in each)
    assert len([piece for piece in line.split("|") if piece]) > 1


def test_the_start_prints_what_the_readme_says(cluster: Cluster) -> None:
    assert STARTED.command.text == "make serve\n"
    printed = "\n".join(cluster.output)
    written = STARTED.output.text.replace(ADDRESS, cluster.base_url.removeprefix("http://"))
    written = written.replace(GRPC_ADDRESS, cluster.grpc_url)
    assert matches(f"...{written}...", printed), printed


def test_each_client_is_shown() -> None:
    code = "".join(call.command.text for call in CALLS)
    assert all(client in code for client in ("curl ", "import OpenAI", "tritonclient", "stowage plan"))
    assert len(CALLS) == len(blocks(README, "sh", "python")) - 1, "an example has no output"


def test_another_text_does_not_match() -> None:
    assert matches("a  b ... d", "a b\nc d")
    assert not matches("a ... d", "a b c")
    assert not same({"a": [1, "x..."]}, {"a": [1, "y"]})
    assert not same({"a": 1}, {"a": 1, "b": 2})
