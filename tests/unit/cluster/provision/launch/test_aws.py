from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from ray.autoscaler.node_launch_exception import NodeLaunchException

from cluster.provision.launch.aws import Provider
from cluster.provision.registry import ProviderName
from tests.unit.cluster.provision.rendered import ray_up_file

AN_IMAGE_OF_MOTO = "ami-12c6146b"
BEFORE_A_LAUNCH = "provide-client-params.ec2.RunInstances"
TAGS = {"ray-node-type": "worker", "ray-user-node-type": "l4", "ray-launch-config": "x", "ray-node-name": "n"}


class Refusals:
    """Makes EC2 refuse what ``words`` name, from the request on, as it does where it has no capacity."""

    def __init__(self) -> None:
        self.words: set[str] = set()
        self.asked: list[tuple[str, str]] = []

    def __call__(self, params: dict[str, Any], **_: object) -> None:
        market = params.get("InstanceMarketOptions", {}).get("MarketType", "on-demand")
        self.asked.append((params["InstanceType"], market))
        if self.words & {market, params["InstanceType"]}:
            error = {"Code": "InsufficientInstanceCapacity", "Message": "none left in this zone"}
            raise ClientError({"Error": error}, "RunInstances")


@pytest.fixture
def ec2(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.resource("ec2", region_name="us-west-2")


@pytest.fixture
def refused(ec2: Any, provider: Any) -> Iterator[Refusals]:
    refusals, events = Refusals(), provider.ec2_fail_fast.meta.client.meta.events
    events.register(BEFORE_A_LAUNCH, refusals)
    yield refusals
    events.unregister(BEFORE_A_LAUNCH, refusals)  # Ray keeps its clients


@pytest.fixture
def provider(ec2: Any) -> Any:
    config, make = ray_up_file(ProviderName.AWS), cast("Any", Provider)
    return make(config["provider"], config["cluster_name"])


def l4(ec2: Any) -> dict[str, Any]:
    node_config = dict(ray_up_file(ProviderName.AWS)["available_node_types"]["l4"]["node_config"])
    del node_config["IamInstanceProfile"]
    subnets = [subnet.id for subnet in ec2.subnets.all()]
    return {**node_config, "SubnetIds": subnets, "ImageId": AN_IMAGE_OF_MOTO}


def bought(ec2: Any) -> list[tuple[str, str | None]]:
    return [(each.instance_type, each.instance_lifecycle) for each in ec2.instances.all()]


def test_spot_machines_are_bought_where_there_are(ec2: Any, provider: Any, refused: Refusals) -> None:
    created = provider.create_node(l4(ec2), TAGS, 2)
    assert sorted(created) == sorted(each.id for each in ec2.instances.all())
    assert bought(ec2) == [("g6.2xlarge", "spot")] * 2
    assert refused.asked == [("g6.2xlarge", "spot")] * 2


def test_the_next_type_comes_before_on_demand(ec2: Any, provider: Any, refused: Refusals) -> None:
    refused.words = {"g6.2xlarge"}
    provider.create_node(l4(ec2), TAGS, 1)
    assert bought(ec2) == [("g6.4xlarge", "spot")]


def test_without_spot_machines_they_are_bought_on_demand(ec2: Any, provider: Any, refused: Refusals) -> None:
    refused.words = {"spot"}
    (created,) = provider.create_node(l4(ec2), TAGS, 1)
    assert bought(ec2) == [("g6.2xlarge", None)]
    assert list(dict.fromkeys(refused.asked)) == [
        ("g6.2xlarge", "spot"),
        ("g6.4xlarge", "spot"),
        ("g6.2xlarge", "on-demand"),
    ]
    assert provider.non_terminated_nodes({"ray-user-node-type": "l4"}) == [created]


def test_where_nothing_is_left_ray_hears_why(ec2: Any, provider: Any, refused: Refusals) -> None:
    refused.words = {"spot", "on-demand"}
    with pytest.raises(NodeLaunchException, match="none left in this zone"):
        provider.create_node(l4(ec2), TAGS, 1)
    assert bought(ec2) == []


def test_resources_are_those_of_the_file() -> None:
    config = ray_up_file(ProviderName.AWS)
    assert Provider.fillout_available_node_types_resources(config) == config
