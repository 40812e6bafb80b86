"""What is asked of a model, whichever version answers, and what is kept of its answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from deployments.dataplane.clients import ModelClient
from deployments.dataplane.observer import UNOBSERVED, Observer
from deployments.dataplane.quotas import Spending, most_of_embedding, most_of_generation
from deployments.dataplane.streams import GenerationStream, count
from deployments.dataplane.transcript import Transcript
from deployments.routing.states import ModelState
from models.errors import EngineError
from models.types import (
    EmbeddingRequest,
    EmbeddingResult,
    GenerationRequest,
    InferRequest,
    ModelCard,
    Tensor,
    Usage,
    VersionId,
)

Result_co = TypeVar("Result_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Session:
    """A place at a version for one request. What is pushed on ``held`` is given back at the request's end.

    Work that goes on after its first answer takes all of it over: ``held.pop_all()``. ``transcript`` gets a copy
    of the answer, where one is wanted; ``limit`` is the time limit of the route, where it has one. ``observer``
    hears of streams.
    """

    state: ModelState
    client: ModelClient
    spending: Spending
    held: AsyncExitStack
    transcript: Transcript | None = None
    limit: Callable[[], AbstractAsyncContextManager[None]] | None = None
    observer: Observer = UNOBSERVED

    @property
    def version(self) -> VersionId:
        return self.state.id

    def keep(self, *arrays: npt.NDArray[np.generic]) -> None:
        """Write a whole answer into the transcript."""
        if self.transcript is not None:
            self.transcript.arrays = arrays
            self.transcript.complete = True


class Work(Protocol[Result_co]):
    """What is asked of a model. ``deterministic``: every replica of equal weights gives the same answer."""

    @property
    def deterministic(self) -> bool: ...

    def at_most(self, card: ModelCard | None) -> Usage:
        """The most that it can use of the model's limits."""

    async def run(self, session: Session) -> Result_co:
        """Ask, and return with the answer or the first part of it."""

    def prompt_text(self) -> str:
        """What is asked, for a log that is to have it."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A text to continue."""

    request: GenerationRequest

    @property
    def deterministic(self) -> bool:
        return self.request.sampling.temperature == 0

    def at_most(self, card: ModelCard | None) -> Usage:
        return most_of_generation(self.request, card)

    async def run(self, session: Session) -> GenerationStream:
        """Returns at the first chunk. The place is held until the stream is closed."""
        chunks = session.client.generate(self.request)
        async with AsyncExitStack() as opened:
            opened.push_async_callback(chunks.aclose)
            async for first in chunks:
                opened.pop_all()
                count(first, session.spending)
                observer = session.observer
                observer.stream_opened(session.version)
                session.held.callback(observer.stream_closed, session.version)
                return GenerationStream(
                    session.version,
                    chunks,
                    first,
                    session.spending,
                    session.held.pop_all(),
                    session.transcript,
                    session.limit,
                    observer,
                )
        raise EngineError(f"{session.version} ended a generation before it gave anything")

    def prompt_text(self) -> str:
        return str(self.request.prompt)


@dataclass(frozen=True, slots=True)
class Embedding:
    """Texts to embed."""

    request: EmbeddingRequest

    @property
    def deterministic(self) -> bool:
        return True

    def at_most(self, card: ModelCard | None) -> Usage:
        return most_of_embedding(self.request, card)

    async def run(self, session: Session) -> EmbeddingResult:
        result = await session.client.embed(self.request)
        session.spending.set(result.usage)
        session.keep(result.vectors)
        return result

    def prompt_text(self) -> str:
        return "\n".join(map(str, self.request.inputs))


@dataclass(frozen=True, slots=True)
class Inference:
    """Tensors to run a model on."""

    request: InferRequest

    @property
    def deterministic(self) -> bool:
        return True

    def at_most(self, card: ModelCard | None) -> Usage:  # noqa: ARG002  tensors have no tokens
        return Usage(0)

    async def run(self, session: Session) -> tuple[Tensor, ...]:
        tensors = await session.client.infer(self.request)
        session.spending.add()
        session.keep(*(tensor.data for tensor in tensors))
        return tensors

    def prompt_text(self) -> str:
        """Tensors are no text."""
        return ""
