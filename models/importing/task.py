"""What a model is for, judged by its files."""

from __future__ import annotations

from collections.abc import Sequence

from models.errors import SourceError
from models.importing.configuration import Configuration
from models.manifest import TensorFacts
from models.types import Task

_CAUSAL = ("ForCausalLM", "LMHeadModel")
_ENCODERS = {
    "albert",
    "bert",
    "camembert",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "mpnet",
    "modernbert",
    "nomic_bert",
    "roberta",
    "xlm-roberta",
}


def infer_transformer_task(configuration: Configuration, *, has_modules: bool) -> Task:
    """``has_modules``: the model came with sentence-transformers' list of modules. SourceError when unclear."""
    architectures = configuration.architectures or ()
    if has_modules:
        return Task.EMBED
    if continues_text(configuration):
        return Task.GENERATE
    if configuration.model_type in _ENCODERS and all(name.endswith("Model") for name in architectures):
        return Task.EMBED
    raise SourceError(
        f"what a {configuration.model_type!r} model with architectures {list(architectures)} does is not known",
        remedy="say task: generate or task: embed, if it is one of these",
    )


def continues_text(configuration: Configuration) -> bool:
    """Whether the weights include the head that predicts the next token."""
    return any(name.endswith(_CAUSAL) for name in configuration.architectures or ())


def infer_graph_task(
    inputs: Sequence[TensorFacts], outputs: Sequence[TensorFacts], *, has_tokenizer: bool
) -> Task:
    """A graph from token ids to [batch, sequence, dimension] embeds, if its tokenizer is there too."""
    takes_tokens = any(tensor.name == "input_ids" for tensor in inputs)
    gives_states = bool(outputs) and len(outputs[0].shape) == 3
    return Task.EMBED if has_tokenizer and takes_tokens and gives_states else Task.INFER
