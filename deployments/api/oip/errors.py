"""Errors in the Open Inference Protocol's shape."""

from __future__ import annotations

from typing import TypedDict

from deployments.api.http.errors import Problem


class ErrorBody(TypedDict):
    """What every failed call returns."""

    error: str


def error_body(problem: Problem) -> ErrorBody:
    """The body, or the stream's last event, for a problem."""
    return ErrorBody(error=problem.message)
