"""What ``serve_config.yaml`` may say under ``args``: the arguments of the two builders."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ByteSize, Field, model_validator

from deployments.audit.location import DEFAULT_AUDIT_DIR
from deployments.limits.allowance import OutagePolicy
from deployments.scaling_args import ScalingArgs
from deployments.state.location import DEFAULT_STATE
from models.manifest import Frozen
from models.memory.budget import AUTO, MemoryBudget
from models.parallel.layout import Degree
from models.parallel.setting import GivenDegree, Parallel
from models.spec import ModelSpec
from models.store import DEFAULT_STORE

MemoryPolicy = Literal["warn", "shed", "restart"]
KeyPolicy = Literal["auto", "required", "off"]
Update = Literal["auto", "surge", "replace"]


class Place(Frozen):
    """A place for one replica, or for one stage of a group (of vLLM's, for all of it): the node's name in the
    plan, and the GPUs of that node, one for each rank."""

    node: str
    devices: tuple[Annotated[int, Field(ge=0)], ...] = ()


class ModelArgs(ModelSpec):
    """Arguments of ``deployments.app:build_model``: a model's description and how it is deployed.

    ``node_memory`` is the most that one node offers, for clusters whose nodes do not exist yet (None: the
    largest node that is alive). ``max_queued_requests`` bounds the requests that wait in each router replica.
    ``memory`` is the budget of one replica on its device: ``auto``, a size or a percentage. ``device``: ``auto``,
    ``cpu``, ``gpu`` or a name of the device table. ``parallel``: between how many devices one replica is divided.
    ``stall_timeout_s``: a divided replica with work in which no rank gets on for so long starts anew.
    ``placement``: the plan's places, one for each replica, or for each stage of one. ``vllm_python``: the
    interpreter, on every node, of an environment that has vLLM, for ``engine: vllm``. ``sleep_after_s``: it leaves
    its GPU when no request came for so long, until the next one. ``update``: whether a replica goes on until a new
    one serves (``surge``) or ends first; ``auto``: a divided one goes on.
    """

    store: str = DEFAULT_STORE
    num_cpus: float = Field(default=0.5, gt=0)
    num_threads: int = Field(default=1, gt=0)
    min_replicas: int = Field(default=1, ge=0)
    max_replicas: int = Field(default=1, ge=1)
    scaling: ScalingArgs | None = None
    max_queued_requests: int = Field(default=128, gt=0)
    node_memory: ByteSize | None = None
    memory: MemoryBudget = AUTO
    device: str = "auto"
    parallel: Parallel = "off"
    stall_timeout_s: float = Field(default=60, gt=0)
    vllm_python: Path | None = None
    sleep_after_s: float | None = Field(default=None, gt=0)
    compute_share: float | None = Field(default=None, gt=0, le=100)
    memory_policy: MemoryPolicy = "warn"
    placement: tuple[Place, ...] = ()
    update: Update = "auto"

    @property
    def digest(self) -> str:
        """The same for the same arguments."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def least_degree(self) -> Degree:
        """Of one replica: what ``parallel`` says; with ``auto`` its plan may need more."""
        return self.parallel.degree if isinstance(self.parallel, GivenDegree) else Degree()

    @property
    def least_parts(self) -> Degree:
        """How its ranks lie on nodes, as ``MemoryPlan.parts`` has it: ``pipeline`` places of ``tensor`` GPUs."""
        return self.least_degree.in_one_part if self.engine == "vllm" else self.least_degree

    @model_validator(mode="after")
    def _check_replicas(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas {self.min_replicas} exceeds max_replicas {self.max_replicas}")
        if self.scaling is not None:
            self._check_scaling(self.scaling)
        return self

    def _check_scaling(self, scaling: ScalingArgs) -> None:
        if self.min_replicas == self.max_replicas:
            raise ValueError(
                f"scaling has nothing to decide: min_replicas and max_replicas are both {self.min_replicas}; "
                "raise max_replicas, or leave scaling out"
            )
        most = max((each.replicas for each in scaling.schedule), default=0)
        if most > self.max_replicas:
            raise ValueError(f"scaling.schedule has {most} replicas, above max_replicas {self.max_replicas}")

    @model_validator(mode="after")
    def _check_vllm(self) -> Self:
        if (self.engine == "vllm") != (self.vllm_python is not None):
            raise ValueError(
                f"engine is {self.engine!r}, and vllm_python {self.vllm_python}: vllm needs it, others not"
            )
        if self.vllm_python is not None and not self.vllm_python.is_absolute():
            raise ValueError(f"vllm_python {self.vllm_python} is no absolute path")
        return self

    @model_validator(mode="after")
    def _check_sleep(self) -> Self:
        """What ``device: auto`` means is known when nodes are; the plan checks that."""
        if self.sleep_after_s is not None and (self.engine != "vllm" or self.device == "cpu"):
            raise ValueError(
                f"sleep_after_s is {self.sleep_after_s:g}, but engine {self.engine!r} and device {self.device!r}: "
                "only vllm on a GPU sleeps; set min_replicas to 0 instead"
            )
        return self

    @model_validator(mode="after")
    def _check_device(self) -> Self:
        if self.device == "cpu" and self.compute_share is not None:
            raise ValueError(f"compute_share {self.compute_share:g} is of a GPU, but device is 'cpu'")
        return self

    @model_validator(mode="after")
    def _check_placement(self) -> Self:
        num_places = self.max_replicas * self.least_parts.pipeline
        if self.placement and len(self.placement) < num_places:
            has = f"placement has {len(self.placement)} places"
            raise ValueError(f"{has} for max_replicas {self.max_replicas}, not {num_places}")
        for place in self.placement:
            if self.parallel != "auto" and len(place.devices) not in (0, self.least_parts.tensor):
                raise ValueError(
                    f"placement gives one replica {len(place.devices)} GPUs of {place.node}, "
                    f"not {self.least_parts.tensor}"
                )
            if place.devices and self.device == "cpu":
                raise ValueError(f"placement names GPU {place.devices[0]} of {place.node}, but device is 'cpu'")
            if not place.devices and self.device not in ("auto", "cpu"):
                raise ValueError(f"placement names no GPU of {place.node}, but device is {self.device!r}")
        return self


class RouterArgs(Frozen):
    """Arguments of ``deployments.app:build_router``, fixed for the life of a router replica.

    ``wake_wait_s``: how long a request waits for a model that sleeps or starts, of which ``max_waking`` wait for
    each. ``interactive_wait_s``: the longest queue that an interactive request joins. ``status_period_s``: how
    often the router asks what is live. ``state``: the URL of the state database, or ``env:NAME`` of a variable
    with it. ``audit_dir``: where each node keeps its part of the audit log, on a local disk. ``keys``: ``auto``
    asks for API keys once there is one. ``allow_unencrypted``: other machines may call without TLS.
    ``on_state_outage``: whether requests pass limits that are used up while the database is away.
    """

    num_replicas: int = Field(default=1, gt=0)
    num_cpus: float = Field(default=0.25, gt=0)
    max_ongoing_requests: int = Field(default=1024, gt=0)
    request_timeout_s: float = Field(default=300, gt=0)
    max_request_timeout_s: float = Field(default=3600, gt=0)
    max_body_bytes: int = Field(default=32 * 1024**2, gt=0)
    wake_wait_s: float = Field(default=120, ge=0)
    max_waking: int = Field(default=64, gt=0)
    interactive_wait_s: float = Field(default=5, gt=0)
    status_period_s: float = Field(default=1, gt=0)
    state: str = DEFAULT_STATE
    audit_dir: str = DEFAULT_AUDIT_DIR
    keys: KeyPolicy = "auto"
    allow_unencrypted: bool = False
    on_state_outage: OutagePolicy = "allow"

    @model_validator(mode="after")
    def _check_timeouts(self) -> Self:
        if self.request_timeout_s > self.max_request_timeout_s:
            raise ValueError(
                f"request_timeout_s {self.request_timeout_s} exceeds "
                f"max_request_timeout_s {self.max_request_timeout_s}"
            )
        return self
