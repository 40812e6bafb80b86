"""What the repository stands on: the cluster, and the book of what administrators did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pydantic import JsonValue

from deployments.repository.orders import Change, Deployed, LoadOrder
from deployments.routing.run_time import RunTimeNote
from models.types import VersionId


class Cluster(Protocol):
    """Where applications are deployed. Each method is safe to call again, also from another router replica."""

    async def applications(self) -> Mapping[str, Deployed]:
        """All applications of ours, by name; without those that are being removed."""

    async def write(self, order: LoadOrder, there: Mapping[str, Deployed]) -> Mapping[str, JsonValue]:
        """The application of a version that is in the store, as the file would have it. ``there`` is what runs.

        VersionNotFoundError, StoreError; InvalidRequestError for args that are none.
        """

    def change(self, deployed: Deployed, version: VersionId, change: Change) -> Mapping[str, JsonValue]:
        """The args of ``deployed`` with the change of ``version``, which it serves.

        InvalidRequestError; ConflictError for what cannot be changed while it runs.
        """

    async def deploy(self, note: RunTimeNote) -> None:
        """Plan, deploy and detach; replicas that run already stay where no more than ``Change`` has is another.

        ConfigError and DoesNotFitError when that cannot be; then nothing has changed.
        """

    async def detach(self, note: RunTimeNote) -> None:
        """Let it be no file's any more, where a deploy was cut off before that; errors as there."""

    async def remove(self, application: str) -> None:
        """Stop it, once it has answered what is under way. It does not come back when the controller restarts."""


class Chronicle(Protocol):
    """Writes down what administrators did."""

    async def note(self, actor: str, action: str, subject: str, details: Mapping[str, JsonValue]) -> None:
        """Once for each change."""
