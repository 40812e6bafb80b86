"""Loading prints nothing, and still refuses weights that are not the model's."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from models.engines.pretrained import load_pretrained
from models.engines.quiet import quieten_transformers
from models.errors import ConfigError
from tests.unit.manifests import SMOLLM2
from tests.unit.models.checkpoints import llama, write_checkpoint

TINY = SMOLLM2.model_copy(update={"name": "tiny"})


def checkpoint_with(folder: Path, **tensors: torch.Tensor) -> Path:
    """One of whose weights some are others than the model's."""
    write_checkpoint(folder, llama())
    path = folder / "model.safetensors"
    save_file({**load_file(path), **tensors}, path, metadata={"format": "pt"})
    return folder


def test_weights_that_no_part_of_the_model_takes_are_not_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = checkpoint_with(tmp_path, extra=torch.ones(4))
    capfd.readouterr()
    load_pretrained(AutoModelForCausalLM, folder, TINY, "cpu")
    assert capfd.readouterr() == ("", "")


def test_a_misshapen_weight_is_refused_with_the_model_s_name(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = checkpoint_with(tmp_path, **{"model.norm.weight": torch.ones(3)})
    capfd.readouterr()
    with pytest.raises(ConfigError, match="tiny@1: 0 weights are missing and 1 have another shape"):
        load_pretrained(AutoModelForCausalLM, folder, TINY, "cpu")
    assert capfd.readouterr() == ("", "")


def test_other_warnings_of_transformers_are_left(caplog: pytest.LogCaptureFixture) -> None:
    quieten_transformers()
    logger = logging.getLogger("transformers.modeling_utils")
    for text in ("LlamaModel LOAD REPORT from: x\na MISSING", "LOAD REPORT\na CONVERSION", "something else"):
        logger.warning(text)
    assert [record.getMessage() for record in caplog.records] == ["LOAD REPORT\na CONVERSION", "something else"]
