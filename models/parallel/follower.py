"""What every rank but the leader does: take the messages that it sends, one after the other. Imports torch."""

from __future__ import annotations

from collections.abc import Callable

import torch

from models.parallel.links import Links
from models.parallel.runner import StageInput, StageRunner


class Follower:
    """Computes its shard of each step; ``read`` says what a message means to this rank.

    ``rest`` is called when the leader has no more work.
    """

    def __init__(
        self,
        runner: StageRunner,
        links: Links,
        read: Callable[[torch.Tensor], StageInput],
        rest: Callable[[], None],
    ) -> None:
        self._runner = runner
        self._links = links
        self._read = read
        self._rest = rest

    @torch.no_grad()
    def run(self) -> None:
        """Returns when the leader says that there is no further step; RuntimeError when a rank is gone."""
        while (message := self._links.next_message()) is not None:
            if len(message):
                self._runner.pass_on(self._read(message))
            else:
                self._rest()
