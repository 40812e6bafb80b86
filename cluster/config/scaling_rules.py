"""How many replicas there are is said in one place: in ``args``, or in the ``deployments:`` block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cluster.config.config_file import Complaint, YamlPath, child
from deployments.args import ModelArgs
from deployments.routing.serve_details import SCALING_POLICY

_OURS = frozenset({SCALING_POLICY, SCALING_POLICY.replace(":", ".")})


def scaling_complaints(args: ModelArgs | None, override: object, path: YamlPath) -> Iterator[Complaint]:
    """Of an item of the block, at ``path``. ``args`` are None where they are invalid."""
    scaling = child(override, "autoscaling_config")
    if not isinstance(scaling, Mapping):
        return
    here = (*path, "autoscaling_config")
    if args is not None and args.scaling is not None:
        message = (
            "Ray takes this in place of scaling in args, which then says nothing: leave one of them out "
            "(scaling is Stowage's policy; this, without a policy of its own, Ray's)"
        )
        yield Complaint(here, message)
    if child(child(scaling, "policy"), "policy_function") in _OURS:
        message = (
            "Stowage's policy has to know what was planned, which only the builder tells it: write "
            "min_replicas, max_replicas and scaling in args instead"
        )
        yield Complaint((*here, "policy", "policy_function"), message)
