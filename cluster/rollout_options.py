"""The options of ``stowage rollout``, and the plan that they give."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from cluster.terminal.options import read_duration, read_share
from deployments.routing.rollout import RolloutPlan

DEFAULTS = RolloutPlan()
DEFAULT_STEPS = ",".join([f"{step:g}" for step in DEFAULTS.steps])
DEFAULT_HOLD = f"{DEFAULTS.hold_s / 60:g}m"
DEFAULT_ERROR_RATE = f"{DEFAULTS.max_error_rate:.0%}"
DEFAULT_CONFIG = Path("serve_config.yaml")

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="The name that callers use.")]
AnyModelArgument = Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Default: every model.")]
RolloutConfigOption = Annotated[
    Path, typer.Option("--config", metavar="FILE", help="The Serve config file that is deployed.")
]
RolloutStateOption = Annotated[
    str | None,
    typer.Option("--state", metavar="URL", help="The state database. Default: the one that --config names."),
]
DashboardOption = Annotated[
    str, typer.Option("--address", envvar="RAY_DASHBOARD_ADDRESS", help="Ray's dashboard, as http://host:port.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Do not ask whether the old version is up.")]

ToOption = Annotated[str, typer.Option(metavar="VERSION", help="The new version, or NAME@VERSION.")]
StepsOption = Annotated[
    str, typer.Option(metavar="LIST", help="Its share of the requests in each step, in percent.")
]
HoldOption = Annotated[str, typer.Option(metavar="DURATION", help="How long each step is held at least.")]
ErrorRateOption = Annotated[
    str, typer.Option(metavar="SHARE", help="Of its requests, as 1%: beyond that it goes back.")
]
LatencyRatioOption = Annotated[
    float, typer.Option(metavar="RATIO", help="Its latencies over the old one's: beyond that it goes back.")
]
MinRequestsOption = Annotated[int, typer.Option(metavar="N", help="To each version, before a step can go on.")]
MaxWaitOption = Annotated[
    str | None, typer.Option(metavar="DURATION", help="A step that has not gone on after that goes back.")
]


def read_plan(
    steps: str,
    hold: str,
    max_error_rate: str,
    max_latency_ratio: float,
    min_requests: int,
    max_wait: str | None,
) -> RolloutPlan:
    """What the options say; a usage error for what is no plan."""
    try:
        return RolloutPlan.model_validate(
            {
                "steps": steps.split(","),
                "hold_s": read_duration(hold),
                "max_error_rate": read_share(max_error_rate),
                "max_latency_ratio": max_latency_ratio,
                "min_requests": min_requests,
                "max_wait_s": max_wait and read_duration(max_wait),
            }
        )
    except ValidationError as error:
        reasons = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise typer.BadParameter("; ".join(reasons)) from error
