from __future__ import annotations

import pytest
from pydantic import BaseModel, Field
from ray.serve.schema import ServeDeploySchema

from cluster.config.config_file import format_path
from cluster.config.schema_check import nearest, schema_complaints
from models.spec import ModelSpec


class Inner(BaseModel):
    size: int = Field(default=1, gt=0)


class Outer(BaseModel):
    name: str
    inner: Inner | None = None
    many: dict[str, list[Inner]] = {}
    either: int | Inner = 1
    row: tuple[Inner, ...] = ()


def found(value: object, schema: type[BaseModel]) -> dict[str, str]:
    return {format_path(c.path): c.message for c in schema_complaints(value, schema)}


def test_a_valid_value_has_no_complaints() -> None:
    assert found({"name": "x", "inner": {"size": 2}, "many": {"k": [{"size": 1}]}}, Outer) == {}


def test_unknown_fields_are_named_at_every_level_with_the_nearest_known_one() -> None:
    value = {"name": "x", "inne": 1, "inner": {"siz": 1}, "many": {"k": [{}, {"sizee": 1}]}, "row": [{"siz": 1}]}
    complaints = found(value, Outer)
    assert complaints.keys() == {"inne", "inner.siz", "many.k[1].sizee", "row[0].siz"}
    assert complaints["inner.siz"] == "unknown field 'siz'; did you mean 'size'?"


def test_all_errors_are_reported_with_the_offending_value() -> None:
    complaints = found({"inner": {"size": -3}}, Outer)
    assert complaints["name"] == "this field is required"
    assert complaints["inner.size"].endswith("not -3")


def test_branches_of_a_union_are_one_complaint_at_the_written_place() -> None:
    complaints = found({"name": "x", "either": "no"}, Outer)
    assert list(complaints) == ["either"]
    assert "; or: " in complaints["either"]


def test_the_specification_is_checked_down_to_its_limits() -> None:
    value = {"model": "m", "limit": {}, "limits": {"max_num_seq": 2, "page_size": 1}}
    complaints = found(value, ModelSpec)
    assert complaints["limit"] == "unknown field 'limit'; did you mean 'limits'?"
    assert complaints["limits.max_num_seq"] == "unknown field 'max_num_seq'; did you mean 'max_num_seqs'?"
    assert complaints["limits.page_size"].endswith("not 1")


@pytest.mark.parametrize("value", [None, [], "text", 3, {"applications": {"a": 1}}])
def test_a_value_of_another_shape_is_a_complaint(value: object) -> None:
    assert schema_complaints(value, ServeDeploySchema)


def test_serve_schema_is_searched_down_to_deployment_options() -> None:
    deployment = {
        "name": "D",
        "num_replica": 2,
        "ray_actor_options": {"num_cpu": 1},
        "autoscaling_config": {"min": 1},
    }
    value = {"http_option": {}, "applications": [{"import_path": "a:b", "deployments": [deployment]}]}
    assert found(value, ServeDeploySchema).keys() == {
        "http_option",
        "applications[0].deployments[0].num_replica",
        "applications[0].deployments[0].ray_actor_options.num_cpu",
        "applications[0].deployments[0].autoscaling_config.min",
    }


def test_nearest_lists_what_is_known_when_nothing_is_near() -> None:
    assert nearest("zzz", ["b", "a"]) == "known: a, b"
    assert nearest("zzz", []) == "known: none"
