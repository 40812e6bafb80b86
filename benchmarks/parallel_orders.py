"""What the processes of a divided model are told by the benchmark, and what they answer."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle, islice

from deployments.args import ModelArgs
from models.parallel.rendezvous import Meeting

_PROMPT_TOKENS = (16, 32, 64, 128, 256)
_NUM_REPEATED = 16


@dataclass(frozen=True, slots=True)
class Setup:
    """One rank of ``args``, or the whole model where its plan has no group and so no ``meeting``.

    ``device`` as the engine's settings have it. All ranks may be on one card, which ``gloo`` allows and nccl not.
    """

    args: ModelArgs
    rank: int
    meeting: Meeting | None
    device: str


@dataclass(frozen=True, slots=True)
class Window:
    """``clients`` at once, each of which asks ``num_turns`` times, one after the other, for ``max_tokens`` tokens.

    ``number`` is that of the window: no two have a prompt in common.
    """

    number: int
    clients: int
    num_turns: int
    max_tokens: int

    def prompt(self, client: int, turn: int, vocab_size: int) -> tuple[int, ...]:
        """Token ids, between 16 and 256 of them. Each repeats some random ones, which a model continues."""
        draw = random.Random(f"{self.number} {self.clients} {client} {turn}")  # noqa: S311  the same for all
        length = draw.choice(_PROMPT_TOKENS)
        return tuple(islice(cycle(draw.choices(range(vocab_size), k=_NUM_REPEATED)), length))


@dataclass(frozen=True, slots=True)
class Filling(Window):
    """Prompts of ``length`` tokens, which together come from everywhere in the vocabulary.

    Rows of a mapped embedding table are not resident before they, or their neighbours, are asked for.
    """

    length: int

    def prompt(self, client: int, turn: int, vocab_size: int) -> tuple[int, ...]:
        """Client ``c`` of ``n`` has every ``n``-th of the tokens that divide the vocabulary evenly."""
        total = self.clients * self.num_turns * self.length
        first = client * self.num_turns + turn
        return tuple(number * vocab_size // total for number in range(first, total, total // self.length))


@dataclass(frozen=True, slots=True)
class Look:
    """Asks for what the rank has done since the look before."""


Order = Window | Look


@dataclass(frozen=True, slots=True)
class Answered:
    """One window. ``digests`` tell whether two engines said the same; ``first_token_s`` is the clients' mean."""

    num_tokens: int
    elapsed_s: float
    first_token_s: float
    digests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spent:
    """Of one rank: seconds by what it did, and of each collective in their order how long the rank was in it."""

    doing: Mapping[str, float]
    collectives_s: tuple[float, ...]

    def __add__(self, later: Spent) -> Spent:
        names = {**self.doing, **later.doing}
        doing = {name: self.doing.get(name, 0) + later.doing.get(name, 0) for name in names}
        return Spent(doing, self.collectives_s + later.collectives_s)
