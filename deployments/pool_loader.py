"""Brings the engines of a pool into this process and out of it again."""

from __future__ import annotations

import ctypes
import gc
import logging
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from threading import Lock

from deployments.args import ModelArgs
from deployments.engine_host import EngineHost
from deployments.importing import ensure_imported
from deployments.options import engine_settings
from models.engines.registry import create_engine
from models.memory.plan import MemoryPlan
from models.types import VersionId

logger = logging.getLogger("ray.serve")


class EngineLoader:
    """Opens each model's EngineHost and closes it. The host itself is made once: its queue outlives its engine.

    Loads of transformers take turns, those of ONNX Runtime do not: while ``from_pretrained`` builds a model, it
    replaces ``tie_weights``, the initialisers and the default dtype for the whole process, and two at once would
    put back each other's replacements.
    """

    def __init__(self, models: Sequence[ModelArgs], plans: Sequence[MemoryPlan]) -> None:
        self._args = {args.id: args for args in models}
        self._plans = {plan.id: plan for plan in plans}
        self._hosts: dict[VersionId, EngineHost] = {}
        self._malloc_trim = ctypes.CDLL(None).malloc_trim
        self._transformers = Lock()

    def load(self, model: VersionId) -> EngineHost:
        args, plan = self._args[model], self._plans[model]
        with nullcontext() if plan.engine == "onnx" else self._transformers:
            stored = ensure_imported(args)
            engine = create_engine(plan.engine, stored.folder, stored.manifest, engine_settings(args, plan))
        if model not in self._hosts:
            limits = args.limits.model_copy(update={"max_batch_size": plan.max_batch_size})
            self._hosts[model] = EngineHost(model, stored.manifest.task, limits)
        self._hosts[model].open(engine)
        return self._hosts[model]

    def unload(self, value: EngineHost) -> None:
        """Gives the memory back to the system: without being told to, glibc keeps what is freed."""
        value.close()
        gc.collect()
        self._malloc_trim(0)

    def warm_up(self, models: Iterable[VersionId]) -> None:
        """Load and close each of ``models``, then take all that this has imported out of garbage collection.

        The first load of a kind of model imports its code, and a collection walks through every object of every
        library: either holds up all threads for 0.2 s and more, later on those of the models that are warm.
        """
        for model in models:
            try:
                self.unload(self.load(model))
            except Exception:
                logger.exception("Model %s cannot be loaded; its requests will be told why.", model)
        gc.collect()
        gc.freeze()
