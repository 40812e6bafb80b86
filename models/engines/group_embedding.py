"""Embedding by a group of ranks, each with a stage of the encoder: the leader's engine. Imports torch.

What the other ranks run is ``models.engines.group.make_follower``.
"""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, wait
from contextlib import suppress
from functools import partial
from threading import Lock

import numpy as np
import numpy.typing as npt
import torch

from models.engines.embedding import EncoderEngine
from models.engines.group import DISMISS_TIMEOUT_S, Rank, open_rank
from models.engines.heap import return_freed_blocks
from models.engines.parts import FRESH
from models.engines.tokenize import TokenBatch
from models.errors import GroupError
from models.parallel.bounded import start
from models.parallel.links import Links
from models.parallel.pulse import ProgressCounter
from models.parallel.runner import StageRunner
from models.parallel.texts import TextReader, encode_texts
from models.progress import Progress


class GroupEmbeddingEngine(EncoderEngine["GroupEncoder"]):
    """Leads the group: texts come to it, and it pools their states. Blocks until the others are ready.

    ConfigError when the model cannot be divided so.
    """

    def __init__(self, rank: Rank, progress: Progress, pulse: ProgressCounter) -> None:
        return_freed_blocks()
        tokenizer = FRESH.tokenizer(rank.folder, rank.manifest)
        runner, links = open_rank(rank, progress, pulse)
        self._group = GroupEncoder(runner, links, rank.settings.device)
        super().__init__(rank.manifest, rank.settings, tokenizer, self._group, GroupEncoder.token_states)

    def check(self) -> None:
        super().check()
        self._group.check()

    def abort(self, cause: str) -> None:
        """Fail every request that is here, with this cause, whatever the ranks do; from any thread."""
        self._group.abort(cause)

    def close(self) -> None:
        """The other ranks end too, after the batch that is under way. GroupError when they do not."""
        super().close()
        self._group.close()


class GroupEncoder:
    """Cuts a batch into as many parts as there are stages, so that all stages work at the same time."""

    def __init__(self, runner: StageRunner, links: Links, device: str) -> None:
        self._runner = runner
        self._links = links
        self._read = TextReader(device)
        self._lock = Lock()
        self._failure: Future[npt.NDArray[np.float32]] = Future()  # only ever an exception
        self._is_closed = False

    def token_states(self, batch: TokenBatch) -> npt.NDArray[np.float32]:
        """[batch, tokens, dim]. Batches of several threads wait for each other. GroupError once one has failed."""
        num_parts = min(self._runner.stage.shard.degree.pipeline, len(batch.positions))
        ids, mask = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask)
        parts = [
            encode_texts(*part)
            for part in zip(ids.tensor_split(num_parts), mask.tensor_split(num_parts), strict=True)
        ]
        with self._lock:
            self.check()
            # On a thread of its own, which may be stuck for ever.
            states = start(partial(self._states, parts))
            wait((states, self._failure), return_when=FIRST_COMPLETED)
            if not self._failure.done() and (error := states.exception()) is not None:
                # What the other ranks send from now on belongs to this batch.
                self.abort(f"a batch of shape {tuple(ids.shape)} failed: {error}")
            self.check()
            return states.result()

    def abort(self, cause: str) -> None:
        """Fail what is under way, and all that comes. The first cause counts."""
        with suppress(InvalidStateError):
            self._failure.set_exception(GroupError(cause, remedy="start the group anew"))

    def check(self) -> None:
        """GroupError when a batch has failed, or it was closed."""
        if self._is_closed:
            raise GroupError("the engine was closed", remedy="send the request to another replica")
        if self._failure.done():
            self._failure.result()

    def close(self) -> None:
        """Dismiss the other ranks; idempotent. GroupError when they do not listen, or a batch does not end."""
        if not self._lock.acquire(timeout=DISMISS_TIMEOUT_S):
            raise GroupError("the batch that is under way does not end", remedy="end the group's processes")
        try:
            if not self._is_closed:
                self._is_closed = True
                self._links.dismiss(DISMISS_TIMEOUT_S)
        finally:
            self._lock.release()

    @torch.no_grad()
    def _states(self, parts: list[torch.Tensor]) -> npt.NDArray[np.float32]:
        for part in parts:
            self._links.announce(part)
        states = [self._runner.output(self._read(part))["last_hidden_state"] for part in parts]
        whole: npt.NDArray[np.float32] = torch.cat(states).float().cpu().numpy()
        return whole
