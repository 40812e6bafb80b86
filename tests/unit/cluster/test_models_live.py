"""``stowage models load|unload|scale|pin`` against a router that is real but for its cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deployments.api.app import build_app
from tests.unit.cluster.conftest import Stowage
from tests.unit.deployments.api.fake import FakeDataPlane
from tests.unit.deployments.api.live import SETTINGS, served
from tests.unit.deployments.repository.fake import Rig


@pytest.fixture
def rig() -> Rig:
    made = Rig()
    made.cluster.add("m@1")
    return made


@pytest.fixture
def url(rig: Rig) -> Iterator[str]:
    with served(build_app(FakeDataPlane(), SETTINGS, operators=rig.operators)) as address:
        yield f"http://{address}/"


def test_a_version_is_loaded_scaled_and_unloaded(stowage: Stowage, url: str, rig: Rig) -> None:
    settings = ("--set", "num_cpus=0.5", "--set", "device=cpu")
    loaded = stowage("models", "load", "m@2", *settings, "--timeout", "30", "--url", url)
    assert (loaded.code, loaded.out) == (0, "m@2 is ready (0 replicas up).\n")
    args = rig.cluster.there["m@2"].args
    assert (args["num_cpus"], args["device"]) == (0.5, "cpu")
    assert stowage("models", "scale", "m@2", "--min", "1", "--max", "4", "--timeout", "30", "--url", url).code == 0
    assert rig.cluster.there["m@2"].args["max_replicas"] == 4
    assert stowage("models", "unload", "m@2", "--timeout", "30", "--url", url).out == "m@2 is unloaded.\n"
    assert stowage("models", "unload", "m", "--force", "--timeout", "30", "--url", url).out == (
        "m@1 is unloaded. The file has it: `serve deploy` starts it again.\n"
    )


def test_a_refusal_is_told_in_the_router_s_words(stowage: Stowage, url: str) -> None:
    refused = stowage("models", "unload", "m", "--timeout", "30", "--url", url)
    assert (refused.code, "m@1 is the only version of m" in refused.err) == (1, True)
    assert "is not in the store" in stowage("models", "load", "m@7", "--timeout", "30", "--url", url).err


def test_where_no_router_is_another_url_is_asked_for(stowage: Stowage, closed_url: str, url: str) -> None:
    away = stowage("models", "pin", "m@1", "--url", closed_url)
    assert (away.code, "give its URL with --url" in away.err) == (1, True)
    other = stowage("models", "pin", "m@1", "--url", f"{url}other")
    assert (other.code, "not like a router" in other.err) == (1, True)


def test_wrong_usage_is_told(stowage: Stowage, url: str) -> None:
    assert stowage("models", "scale", "m@1", "--timeout", "30", "--url", url).code == 2
    assert stowage("models", "load", "m@2", "--set", "num_cpus", "--timeout", "30", "--url", url).code == 2
