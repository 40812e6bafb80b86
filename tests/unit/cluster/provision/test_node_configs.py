"""Ray's schema says nothing of ``node_config``: here it is held against the clouds' own descriptions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import botocore.session
import jsonschema
import pytest
from azure.mgmt.compute import models as azure_models
from botocore.model import Shape, StructureShape
from botocore.validate import ParamValidator
from ray.autoscaler._private import _azure

from cluster.provision.registry import ProviderName
from tests.unit.cluster.provision.rendered import node_configs, ray_up_file

EC2 = botocore.session.get_session().get_service_model("ec2")
RUN_INSTANCES = EC2.operation_model("RunInstances").input_shape
ARM = json.loads((Path(_azure.__file__).parent / "azure-vm-template.json").read_text())["parameters"]
ADDED_BY_RAY = {"vmName", "vmTags", "vmCount", "provisionPublicIp", "msi", "nsg", "subnet", "zones"}
ADDED_FROM_AUTH = {"adminUsername", "publicKey"}


def aws_complaints(node_config: Mapping[str, Any]) -> str:
    """What EC2's client says of the request that Ray makes of a ``node_config``, and of words it does not know."""
    request = {name: value for name, value in node_config.items() if name != "SubnetIds"}
    request |= {"MinCount": 1, "MaxCount": 1, "SubnetId": "subnet-1", "SecurityGroupIds": ["sg-1"]}
    report = ParamValidator().validate(request, RUN_INSTANCES).generate_report()
    return report or "; ".join(unknown_words(request, RUN_INSTANCES))


def unknown_words(value: Any, shape: Shape) -> list[str]:
    """Texts where the service has a list of words, and this is none of them."""
    if isinstance(shape, StructureShape):
        return [word for name, inner in value.items() for word in unknown_words(inner, shape.members[name])]
    if shape.type_name == "list":
        return [word for inner in value for word in unknown_words(inner, shape.member)]
    known = shape.metadata.get("enum")
    return [f"{shape.name}: {value}"] if known and value not in known else []


def test_ec2_takes_every_node_config() -> None:
    asked = list(node_configs(ray_up_file(ProviderName.AWS)))
    assert len(asked) == 1 + 2 + 4 + 1
    assert [(name, complaint) for name, each in asked if (complaint := aws_complaints(each))] == []


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"InstanceTyp": "m7i.xlarge"}, 'Unknown parameter in input: "InstanceTyp"'),
        ({"InstanceType": "m7i.xlager"}, "InstanceType: m7i.xlager"),
        (
            {"BlockDeviceMappings": [{"Ebs": {"VolumeSize": "100"}}]},
            "Invalid type for parameter BlockDeviceMappings",
        ),
        ({"InstanceMarketOptions": {"MarketType": "Spot"}}, "MarketType: Spot"),
    ],
)
def test_what_ec2_would_refuse_is_found(wrong: dict[str, Any], complaint: str) -> None:
    _, head = next(node_configs(ray_up_file(ProviderName.AWS)))
    assert complaint in aws_complaints({**head, **wrong})


def compute_schema() -> dict[str, Any]:
    """Of an instance, from Google's description of its Compute API; unknown fields are errors."""
    text = (files("googleapiclient.discovery_cache.documents") / "compute.v1.json").read_text()
    definitions = {name: strict(schema) for name, schema in json.loads(text)["schemas"].items()}
    return {"$defs": definitions, "$ref": "#/$defs/Instance"}


def strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema of the discovery format as JSON Schema: integers of 64 bits are texts there."""
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{schema['$ref']}"}
    made: dict[str, Any] = {"type": schema["type"]} if schema.get("type") not in (None, "any") else {}
    if "enum" in schema:
        made["enum"] = schema["enum"]
    if "items" in schema:
        made["items"] = strict(schema["items"])
    if made.get("type") == "object":
        made["properties"] = {name: strict(inner) for name, inner in schema.get("properties", {}).items()}
        made["additionalProperties"] = (
            strict(schema.get("additionalProperties", {"$ref": ""}))
            if ("additionalProperties" in schema)
            else False
        )
    return made


COMPUTE = jsonschema.Draft202012Validator(compute_schema())


def test_compute_engine_takes_every_node_config() -> None:
    asked = gcp_configs()
    assert len(asked) == 1 + 2 + 4 + 2 + 2
    assert [(name, error.message) for name, each in asked for error in COMPUTE.iter_errors(each)] == []


def gcp_configs() -> list[tuple[str, dict[str, Any]]]:
    return list(node_configs(ray_up_file(ProviderName.GCP)))


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"machinetype": "n2-standard-4"}, "'machinetype' was unexpected"),
        ({"scheduling": [{"preemptible": True}]}, "is not of type 'object'"),
        ({"scheduling": {"provisioningModel": "spot"}}, "'spot' is not one of"),
        ({"disks": [{"initializeParams": {"diskSizeGb": 100}}]}, "100 is not of type 'string'"),
    ],
)
def test_what_compute_engine_would_refuse_is_found(wrong: dict[str, Any], complaint: str) -> None:
    _, head = gcp_configs()[0]
    assert any(complaint in error.message for error in COMPUTE.iter_errors({**head, **wrong}))


def arm_complaints(node_config: Mapping[str, Any]) -> list[str]:
    """Parameters that Ray's template does not have, or of another type, or that are missing."""
    kinds: dict[str, type | tuple[type, ...]] = {
        "string": str,
        "securestring": str,
        "int": int,
        "bool": bool,
        "object": dict,
        "array": list,
    }
    given = node_config["azure_arm_parameters"]
    wrong = [name for name, value in given.items() if not isinstance(value, kinds[ARM[name]["type"]])]
    required = {name for name, each in ARM.items() if "defaultValue" not in each}
    return [*wrong, *sorted(required - given.keys() - ADDED_BY_RAY - ADDED_FROM_AUTH)]


def test_ray_s_template_takes_every_node_config_of_azure() -> None:
    for name, each in node_configs(ray_up_file(ProviderName.AZURE)):
        assert each.keys() == {"azure_arm_parameters"}
        assert arm_complaints(each) == [], name
        given = each["azure_arm_parameters"]
        assert not given.keys() & ADDED_BY_RAY
        if "priority" in given:
            assert azure_models.VirtualMachinePriorityTypes(given["priority"]) == "Spot"
            assert azure_models.VirtualMachineEvictionPolicyTypes(given["evictionPolicy"]) == "Delete"
            assert given["billingProfile"] == azure_models.BillingProfile(max_price=-1).serialize()
