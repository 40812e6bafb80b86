"""Brings the engines of a pool into this process and out of it again."""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from dataclasses import replace

from deployments.args import ModelArgs
from deployments.engine_host import EngineHost
from deployments.importing import ensure_imported
from deployments.options import engine_settings
from deployments.pool.warm_up import WarmUp
from models.engines.heap import return_kept_blocks
from models.engines.parts import Parts
from models.engines.registry import create_engine
from models.memory.plan import MemoryPlan
from models.store import open_store
from models.types import VersionId

logger = logging.getLogger("ray.serve")

_LOADS_PER_COLLECTION = 1000


class EngineLoader:
    """Opens each model's EngineHost and closes it. The host itself is made once: its queue outlives its engine."""

    def __init__(self, models: Sequence[ModelArgs], plans: Sequence[MemoryPlan], parts: Parts) -> None:
        self._args = {args.id: args for args in models}
        self._plans = {plan.id: plan for plan in plans}
        self._hosts: dict[VersionId, EngineHost] = {}
        self._parts = parts
        self._num_loads = 0
        self._has_kept = False

    def load(self, model: VersionId) -> EngineHost:
        args, plan = self._args[model], self._plans[model]
        stored = ensure_imported(args)
        settings = replace(engine_settings(args, plan), keeps_heap=False)
        engine = create_engine(plan.engine, stored.folder, stored.manifest, settings, self._parts)
        if model not in self._hosts:
            limits = args.limits.model_copy(update={"max_batch_size": plan.max_batch_size})
            self._hosts[model] = EngineHost(model, stored.manifest.task, limits)
        self._hosts[model].open(engine)
        self._leave_uncollected()
        return self._hosts[model]

    def unload(self, value: EngineHost) -> None:
        """Large blocks and mapped weights go back to the system at once, the rest with ``give_back``."""
        value.close()
        self._has_kept = True

    def give_back(self) -> None:
        """To the system what the C library has kept of closed models.

        Not a part of ``unload``: for its milliseconds no other thread can allocate.
        """
        if self._has_kept:
            self._has_kept = False
            return_kept_blocks()

    def warm_up(self, models: WarmUp) -> None:
        """Load and close what ``models`` asks for, then take what this has left out of garbage collection.

        The first load of a model imports its code, builds its modules and parses its tokenizer, and a collection
        walks through every object of every library: each holds up all threads for up to 0.3 s, later on those of
        the models that are warm.
        """
        here = [each for each in models.variants if open_store(self._args[each].store).holds(each)]
        for model in dict.fromkeys((*models.kinds, *here)):
            try:
                self.unload(self.load(model))
            except Exception:
                logger.exception("Model %s cannot be loaded; its requests will be told why.", model)
        gc.collect()
        gc.freeze()

    def _leave_uncollected(self) -> None:
        """Take what is loaded out of garbage collection: its reference counts free it when it is closed.

        transformers collects all there is, twice, when a generation engine ends; with twenty models loaded each
        holds up the process for 5 to 8 ms. Cycles that were there just now are never collected, so now and then
        everything is.
        """
        self._num_loads += 1
        if self._num_loads % _LOADS_PER_COLLECTION == 0:
            gc.unfreeze()
            gc.collect()
        gc.freeze()
