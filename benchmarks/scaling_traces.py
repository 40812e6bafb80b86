"""Requests to be served: recorded ones, and made ones with one property each. Seeded, so always the same."""

from __future__ import annotations

import csv
import json
import random
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from models.errors import InvalidRequestError

TRACES = Path(__file__).parents[2] / "shared" / "data" / "traces"


@dataclass(frozen=True, slots=True)
class Request:
    """Comes ``at`` seconds after the trace begins."""

    at: float
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Trace:
    """``change_s``: when the load of a made trace changes for good; None where there is no such moment."""

    name: str
    requests: tuple[Request, ...]
    change_s: float | None = None

    @property
    def length_s(self) -> float:
        return self.requests[-1].at

    def part(self, name: str, start_s: float, end_s: float) -> Trace:
        """What comes from ``start_s`` to ``end_s``, which then begins at 0."""
        kept = (each for each in self.requests if start_s <= each.at < end_s)
        return Trace(name, tuple(_moved(each, each.at - start_s) for each in kept))

    def faster(self, name: str, factor: float) -> Trace:
        """The same requests, in 1 / ``factor`` of the time."""
        return Trace(name, tuple(_moved(each, each.at / factor) for each in self.requests))

    def thinned(self, name: str, share: float, seed: int) -> Trace:
        """A random part of the requests."""
        chance = random.Random(seed)  # noqa: S311
        return Trace(name, tuple(each for each in self.requests if chance.random() < share))


def azure(name: str, path: Path) -> Trace:
    """A trace of the Azure LLM inference dataset of 2023 (Splitwise, ISCA 2024): about an hour."""
    with path.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    times = [datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in rows]  # 7 digits in the file
    return Trace(
        name,
        tuple(
            Request(at - times[0], int(row["ContextTokens"]), max(1, int(row["GeneratedTokens"])))
            for at, row in zip(times, rows, strict=True)
        ),
    )


def mooncake(name: str, path: Path) -> Trace:
    """Mooncake's conversations (FAST 2025): about an hour, of long prompts, without their shared prefixes."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return Trace(
        name,
        tuple(Request(row["timestamp"] / 1000, row["input_length"], max(1, row["output_length"])) for row in rows),
    )


def recorded(name: str) -> Trace:
    """``conv``, ``code`` or ``mooncake``; InvalidRequestError where the data is not."""
    files: dict[str, tuple[Callable[[str, Path], Trace], str]] = {
        "conv": (azure, "AzureLLMInferenceTrace_conv.csv"),
        "code": (azure, "AzureLLMInferenceTrace_code.csv"),
        "mooncake": (mooncake, "mooncake_conversation_trace.jsonl"),
    }
    read, file = files[name]
    if not (TRACES / file).exists():
        raise InvalidRequestError(
            f"there is no trace {TRACES / file}", remedy="put the data beside the repository"
        )
    return read(name, TRACES / file)


@dataclass(frozen=True, slots=True)
class Made:
    """Poisson arrivals whose rate changes: ``rates`` are (from this second on, requests a second).

    It ends at ``length_s``. Lengths are those of requests of ``like``, drawn at random.
    """

    name: str
    rates: Sequence[tuple[float, float]]
    length_s: float
    like: Trace
    seed: int
    change_s: float | None = None

    def trace(self) -> Trace:
        chance = random.Random(self.seed)  # noqa: S311
        return Trace(self.name, tuple(self._requests(chance)), self.change_s)

    def _requests(self, chance: random.Random) -> Iterator[Request]:
        starts = [start for start, _ in self.rates]
        at = 0.0
        while at < self.length_s:
            index = bisect_left(starts, at + 1e-9) - 1
            end = starts[index + 1] if index + 1 < len(starts) else self.length_s
            rate = self.rates[index][1]
            # A Poisson process has no memory: where the rate changes, begin anew.
            at = end if not rate else at + chance.expovariate(rate)
            if rate and at < end:
                yield _moved(chance.choice(self.like.requests), at)
            at = min(at, end)


def _moved(request: Request, at: float) -> Request:
    return Request(at, request.prompt_tokens, request.output_tokens)
