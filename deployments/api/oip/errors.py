"""Errors in the Open Inference Protocol's shape."""

from __future__ import annotations

from typing_extensions import TypedDict

from deployments.api.http.errors import ErrorFormat, Problem


class OipError(TypedDict):
    """What every failed call returns."""

    error: str


def error_body(problem: Problem) -> OipError:
    """The body, or the stream's last event, for a problem."""
    return OipError(error=problem.message)


OIP_ERRORS = ErrorFormat(error_body)
