from __future__ import annotations

from pathlib import Path

import pytest

from models.importing.tokenizer import read_tokenizer
from models.manifest import TokenizerFacts
from tests.unit.models.tiny_models import write_json, write_tokenizer


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "chat_template.json"])
def test_no_tokenizer_without_a_vocabulary(tmp_path: Path, name: str) -> None:
    write_json(tmp_path / name, {})
    assert read_tokenizer(tmp_path) is None


def test_a_word_piece_tokenizer(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    assert read_tokenizer(tmp_path) == TokenizerFacts(
        tokenizer_class="BertTokenizer", algorithm="WordPiece", vocab_size=7, model_max_length=24
    )


def test_a_unigram_vocabulary_is_a_list(tmp_path: Path) -> None:
    write_json(tmp_path / "tokenizer.json", {"model": {"vocab": [["a", -1.0], ["b", -2.0]]}})
    facts = read_tokenizer(tmp_path)
    assert facts is not None
    assert facts.vocab_size == 2


def test_the_mark_for_no_limit_is_no_limit(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, model_max_length=1000000000000000019884624838656)
    facts = read_tokenizer(tmp_path)
    assert facts is not None
    assert facts.model_max_length is None


@pytest.mark.parametrize("token", ["</s>", {"content": "</s>", "lstrip": False}])
def test_the_end_token_has_two_spellings(tmp_path: Path, token: object) -> None:
    write_tokenizer(tmp_path)
    write_json(tmp_path / "tokenizer_config.json", {"eos_token": token})
    facts = read_tokenizer(tmp_path)
    assert facts is not None
    assert facts.eos_token == "</s>"


@pytest.mark.parametrize(
    ("config", "file", "has_template"),
    [({}, None, False), ({"chat_template": "{{x}}"}, None, True), ({}, "chat_template.jinja", True)],
)
def test_chat_templates_are_noticed(
    tmp_path: Path, config: dict[str, str], file: str | None, has_template: bool
) -> None:
    write_tokenizer(tmp_path)
    write_json(tmp_path / "tokenizer_config.json", config)
    if file is not None:
        (tmp_path / file).write_text("{{x}}", encoding="utf-8")
    facts = read_tokenizer(tmp_path)
    assert facts is not None
    assert facts.has_chat_template is has_template
