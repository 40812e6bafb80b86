"""How a version scales, as it stands in its deployment: plain values, which Serve hands to the policy. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from deployments.scaling.schedule import Window
from deployments.scaling.settings import Kind, ScalingSettings


@dataclass(frozen=True, slots=True)
class PolicyArguments:
    """``cold_start_guess_s``: how long a replica takes to start, before any has been seen to."""

    settings: ScalingSettings
    cold_start_guess_s: float

    def dump(self) -> dict[str, Any]:
        """As JSON has it."""
        settings = asdict(self.settings)
        settings["schedule"] = [{**each, "days": list(each["days"])} for each in settings["schedule"]]
        settings["kind"] = str(self.settings.kind)
        return {"settings": settings, "cold_start_guess_s": self.cold_start_guess_s}

    @classmethod
    def load(cls, dumped: Mapping[str, Any]) -> Self:
        """The inverse. KeyError, TypeError or ValueError for what another release has dumped."""
        given = dict(dumped["settings"])
        windows = tuple(Window(**{**each, "days": tuple(each["days"])}) for each in given.pop("schedule"))
        settings = ScalingSettings(**{**given, "kind": Kind(given["kind"]), "schedule": windows})
        return cls(settings, float(dumped["cold_start_guess_s"]))
