from __future__ import annotations

import openai
import pytest
from openai import OpenAI


def test_every_name_and_version_is_listed(client: OpenAI) -> None:
    models = list(client.models.list())
    assert [model.id for model in models] == ["adder", "adder@1", "echo", "echo@1", "echo@2", "mini", "mini@1"]
    assert {(model.object, model.owned_by) for model in models} == {("model", "stowage")}
    assert {model.created for model in models if model.id in ("echo", "echo@2")} == {1_700_000_002}


@pytest.mark.parametrize("name", ["echo", "echo@1"])
def test_one_model(client: OpenAI, name: str) -> None:
    assert client.models.retrieve(name).id == name


def test_a_model_that_is_not_there(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="there are adder, echo, mini") as caught:
        client.models.retrieve("nobody")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
