"""Writes the Python messages of inference.proto; ``make proto`` runs it. Needs grpcio-tools, of the dev group.

python -m deployments.grpc.generate
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROTO = "deployments/grpc/inference.proto"
GENERATED = ("deployments/grpc/inference_pb2.py", "deployments/grpc/inference_pb2.pyi")

_SHARED_POOL = "_descriptor_pool.Default()"
_OWN_POOL = "_descriptor_pool.DescriptorPool()"


def generate(target: Path) -> None:
    """Write the GENERATED files below ``target``; subprocess.CalledProcessError when the proto is wrong."""
    options = ("--proto_path=.", f"--python_out={target}", f"--pyi_out={target}")
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, PROTO], cwd=ROOT, check=True)  # noqa: S603
    _keep_to_itself(target / GENERATED[0])


def _keep_to_itself(module: Path) -> None:
    """Others' generated code has the same messages, Triton's client among them: one pool cannot hold both."""
    text = module.read_text()
    if text.count(_SHARED_POOL) != 1:
        raise ValueError(f"{module.name} does not name {_SHARED_POOL} once; did protoc change?")
    module.write_text(text.replace(_SHARED_POOL, _OWN_POOL))


if __name__ == "__main__":
    generate(ROOT)
