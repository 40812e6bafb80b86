"""The policy that Serve's controller asks for the replicas of each version.

Serve carries this module to the controller by value, so it holds nothing: what it asks is imported there, and is
one for all versions. The controller has to find ``deployments`` on its PYTHONPATH; while it does not, versions
keep the replicas that they have, and its log says so.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingContext

logger = logging.getLogger("ray.serve")

_RETRY_S = 60.0


class ModelPolicy:
    """Of one version. What it is given are PolicyArguments, dumped; it raises nothing."""

    def __init__(self, **arguments: Any) -> None:
        self._arguments = arguments
        self._failure: str | None = None
        self._retry_at = 0.0

    def __call__(self, context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """As many replicas as there should be; as many as are to be where that cannot be told."""
        if time.monotonic() < self._retry_at:
            return context.target_num_replicas, {}
        try:
            from deployments.serve_scaling import target_of  # noqa: PLC0415  see above

            return target_of(context, self._arguments), {}
        except Exception as error:  # an error here would end the controller's turn for all versions
            if repr(error) != self._failure:
                logger.exception("%s keeps the replicas that it has.", context.app_name)
            self._failure, self._retry_at = repr(error), time.monotonic() + _RETRY_S
            return context.target_num_replicas, {}
