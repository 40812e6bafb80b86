"""Real models whose ranks are on several nodes, against the same model in one replica. Without the router."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray import serve
from ray.util.placement_group import placement_group_table

from deployments.app import build_model
from deployments.args import ModelArgs
from deployments.handles import ServeClient, ServeClients
from deployments.live_nodes import live_nodes
from models.nodes import NODE_ID_LABEL
from models.types import EmbeddingRequest, VersionId
from tests.integration.cluster import eventually
from tests.integration.generation_work import NUM_STREAMS, answers
from tests.integration.gpu_nodes import leaves_sockets_open
from tests.unit.models.engines import models_for_tests as small
from tests.unit.models.engines.tiny_llama import tiny_tokenizer
from tests.unit.models.parallel.families import build, config_of

pytestmark = leaves_sockets_open

TEXTS = ("the harbour was quiet", "every ship", "lay deep in the water with all")


@pytest.fixture
def nothing_left(nodes: None) -> Iterator[None]:
    """To be asked for before ``applications``, so that it looks after they have gone."""
    yield
    eventually(lambda: not nodes_of_ranks(), 60, "no placement group is left")


def start(folder: Path, version: str, task: str, **more: object) -> VersionId:
    """Of the model in ``folder``; it serves."""
    args = ModelArgs.model_validate(
        {
            "model": folder.name,
            "version": version,
            "source": f"file:{folder}",
            "task": task,
            "store": str(folder.parent / "store"),
            "device": "cpu",
            "num_cpus": 0.1,
            **more,
        }
    )
    serve._run(build_model(args), name=str(args.id), route_prefix=None)
    return args.id


async def client(version: VersionId) -> ServeClient:
    return await ServeClients().client(version)


def nodes_of_ranks() -> list[list[str]]:
    """Of each group that there is, the node of every rank."""
    names = {node.labels[NODE_ID_LABEL]: node.name for node in live_nodes()}
    table: dict[str, dict[str, Any]] = placement_group_table()
    there = [group["bundles_to_node_id"] for group in table.values() if group["state"] == "CREATED"]
    return [[names[placed[rank]] for rank in sorted(placed)] for placed in there]


async def test_slices_and_stages_on_two_nodes_answer_as_one_replica(
    nothing_left: None, applications: None, tmp_path: Path
) -> None:
    folder = tmp_path / "llama"
    tiny_tokenizer().save_pretrained(folder)
    config = config_of("llama", vocab_size=402, intermediate_size=96, max_position_embeddings=512)
    build(config).save_pretrained(folder)
    limits = {"max_model_len": 512, "max_num_seqs": 8, "max_batch_tokens": 48, "page_size": 8}
    whole = start(folder, "whole", "generate", limits=limits)
    places = [{"node": "b"}, {"node": "a"}]
    parallel = {"tensor": 3, "pipeline": 2}
    divided = start(folder, "divided", "generate", limits=limits, parallel=parallel, placement=places)

    assert nodes_of_ranks() == [["b"] * 3 + ["a"] * 3]
    found = await answers(await client(divided), 8)
    assert found == await answers(await client(whole), 8)
    assert len({each.text for each in found}) > NUM_STREAMS


async def test_an_encoder_on_two_nodes_embeds_as_one_replica(
    nothing_left: None, applications: None, tmp_path: Path
) -> None:
    folder = tmp_path / "bert"
    folder.mkdir()
    small.write_tokenizer(folder)
    build(config_of("bert", vocab_size=400, num_hidden_layers=5)).save_pretrained(folder)
    whole = start(folder, "whole", "embed")
    places = [{"node": "a"}, {"node": "b"}]
    divided = start(folder, "divided", "embed", parallel={"pipeline": 2}, placement=places)

    assert nodes_of_ranks() == [["a", "b"]]
    asked = EmbeddingRequest(TEXTS)
    found, expected = [await (await client(version)).embed(asked) for version in (divided, whole)]
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-6)
