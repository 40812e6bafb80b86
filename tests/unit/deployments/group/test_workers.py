"""What Ray says of the end of a worker, in the words of its group."""

from __future__ import annotations

import pytest
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError

from deployments.group.record import FailureKind
from deployments.group.workers import Worker, failure_of, group_error
from models.errors import ChecksumError, GroupError

WORKER = Worker(2, actor=None, node="gpu-3")
DIED = (
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: "
    "Worker unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) ..."
)


def task_error(cause: Exception) -> RayTaskError:
    return RayTaskError("run", "Traceback ...", cause)  # type: ignore[no-untyped-call]


def out_of_memory() -> OutOfMemoryError:
    return OutOfMemoryError("killed")  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("error", "kind", "cause"),
    [
        (
            RayActorError(error_msg=DIED),
            FailureKind.DIED,
            "its process is gone: Worker unexpectedly exits with a connection error code 2. End of file",
        ),
        (task_error(RuntimeError("Connection closed by peer")), FailureKind.ERROR, "RuntimeError: Connection"),
        (task_error(MemoryError("no more")), FailureKind.OUT_OF_MEMORY, "MemoryError: no more"),
        (out_of_memory(), FailureKind.OUT_OF_MEMORY, "the node ran out of memory"),
    ],
)
def test_an_end_is_told_with_rank_node_and_cause(error: RayError, kind: FailureKind, cause: str) -> None:
    failure = failure_of(WORKER, error)

    assert failure.kind is kind
    assert failure.cause.startswith("rank 2 on node gpu-3: ")
    assert cause in failure.cause


def test_an_error_of_ours_keeps_its_kind_and_its_remedy() -> None:
    error = group_error(WORKER, task_error(ChecksumError("model.safetensors is damaged", remedy="import again")))

    assert isinstance(error, ChecksumError)
    assert error.message == "rank 2 on node gpu-3: model.safetensors is damaged"
    assert error.remedy == "import again"


def test_any_other_end_before_the_group_serves_is_a_group_error() -> None:
    error = group_error(WORKER, task_error(KeyError("weight")))

    assert isinstance(error, GroupError)
    assert "rank 2 on node gpu-3: KeyError" in error.message
    assert error.remedy
