"""The one error tree. Each protocol maps it to its own wire format exactly once.

Every error crosses process boundaries, so each can be pickled: the message is the only positional argument.
Messages name the offending value; ``remedy`` says what to do about it.
"""

from __future__ import annotations

import re

_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")


class StowageError(Exception):
    """Base of everything that Stowage raises on purpose."""

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


class InvalidRequestError(StowageError):
    """The caller must change the request. ``param`` names the field at fault."""

    def __init__(self, message: str, *, remedy: str | None = None, param: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.param = param


class ContextLengthError(InvalidRequestError):
    """The prompt, or the prompt with the tokens asked for, exceeds the model's context."""


class UnsupportedOptionError(InvalidRequestError):
    """The option is well-formed, but this engine cannot honour it."""


class WrongTaskError(InvalidRequestError):
    """The model exists and does something else than what was asked."""


class ModelNotFoundError(StowageError):
    """No such model or version is deployed."""


class ModelUnavailableError(StowageError):
    """The model exists and cannot answer now. ``retry_after_s``: when to try again, in seconds. ``is_lost``: the
    replica that was asked does not answer any more, and Serve may not know it yet."""

    def __init__(
        self, message: str, *, remedy: str | None = None, retry_after_s: float = 5.0, is_lost: bool = False
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_s = retry_after_s
        self.is_lost = is_lost


class OverloadedError(ModelUnavailableError):
    """The model's queue is full."""


class QuotaExceededError(StowageError):
    """A limit of the caller's key, tenant or of the model is used up. ``retry_after_s``: when there is more.

    ``is_budget``: it is one of a day or month, so that trying again soon is of no use. ``limit`` is its name, as
    ``tokens_per_day``, and ``scope`` whose it is: ``key``, ``tenant`` or ``model``.
    """

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        retry_after_s: float = 1.0,
        is_budget: bool = False,
        limit: str = "",
        scope: str = "",
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_s = retry_after_s
        self.is_budget = is_budget
        self.limit = limit
        self.scope = scope


class AuthenticationError(StowageError):
    """The caller gave no API key, or none that is valid."""


class PermissionDeniedError(StowageError):
    """The caller's key is valid and not meant for this."""


# What a replica answers in the place of a result. All other errors it raises: those are failures.
Refusal = InvalidRequestError | ModelUnavailableError


class DeadlineExceededError(StowageError):
    """The request's own time limit passed."""


class EngineError(StowageError):
    """The engine failed while it worked on a valid request."""


class GroupError(EngineError):
    """The ranks that serve a model together cannot start, or cannot go on. Names rank, node and cause."""


class ConfigError(StowageError):
    """What the operator wrote cannot be deployed."""


class DoesNotFitError(ConfigError):
    """The planned bytes exceed what a node or device has."""


class ConflictError(StowageError):
    """What an operator asks for contradicts what is deployed."""


class StoreError(StowageError):
    """A model version cannot be imported, read or removed."""


class SourceError(StoreError):
    """The source of weights is malformed, absent or unreachable."""


class UnsafeWeightsError(StoreError):
    """The source holds pickled weights or asks for code of its own to be run."""


class ChecksumError(StoreError):
    """A file is not the one that the manifest describes."""


class VersionNotFoundError(StoreError):
    """The store holds no such model version."""


class StateError(StowageError):
    """The state database cannot be used as it is: a wrong URL, or a schema of another release."""


class StateUnavailableError(StateError):
    """The state database does not answer now; routers try once a second."""

    retry_after_s = 1.0


def error_code(error: BaseException | type[BaseException]) -> str:
    """An error, or a kind of errors, in one word, for records: a ModelUnavailableError is ``model_unavailable``,
    what is not ours ``internal``."""
    kind = error if isinstance(error, type) else type(error)
    if not issubclass(kind, StowageError):
        return "internal"
    return _WORD_START.sub("_", kind.__name__.removesuffix("Error")).lower()
