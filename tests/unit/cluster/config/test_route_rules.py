"""Names in the router's policy that lead to nothing in the file."""

from __future__ import annotations

import pytest
import yaml

from cluster.config.route_rules import dead_ends
from deployments.routing.policy import RouterPolicy
from models.types import VersionId

DEPLOYED = [VersionId("m", "1"), VersionId("m", "2"), VersionId("minilm", "1")]


def found(text: str) -> dict[tuple[str | int, ...], str]:
    policy = RouterPolicy.model_validate(yaml.safe_load(text))
    return {complaint.path: complaint.message for complaint in dead_ends(policy, DEPLOYED, ("p",))}


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("routes: {m: {version: 3}}", ("routes", "m", "version"), "m@3 is not deployed; known: 1, 2"),
        ("routes: {n: {}}", ("routes", "n"), "no model 'n' is deployed; known: m, minilm"),
        (
            "routes: {n: {targets: {m@1: 1, minilm@2: 0}}}",
            ("routes", "n", "targets", "minilm@2"),
            "minilm@2 is not deployed; known: 1",
        ),
        (
            "routes: {m: {match: [{headers: {a: b}, version: 1}, {headers: {a: c}, targets: {3: 1}}]}}",
            ("routes", "m", "match", 1, "targets", "3"),
            "m@3 is not deployed; known: 1, 2",
        ),
        (
            "routes: {m: {shadow: [{target: minilm1@1, share: 1}]}}",
            ("routes", "m", "shadow", 0, "target"),
            "no model 'minilm1' is deployed; did you mean 'minilm'?",
        ),
        (
            "routes: {m: {fallbacks: {overloaded: [minilm, miniml]}}}",
            ("routes", "m", "fallbacks", "overloaded", 1),
            "no model 'miniml' is deployed; did you mean 'minilm'?",
        ),
        ("aliases: {gpt: m@9}", ("aliases", "gpt"), "m@9 is not deployed; known: 1, 2"),
        ("models: {minlm: {}}", ("models", "minlm"), "no model 'minlm' is deployed; did you mean 'minilm'?"),
    ],
)
def test_each_dead_end_is_named_at_its_place(text: str, path: tuple[str | int, ...], message: str) -> None:
    assert found(text) == {("p", *path): message}


def test_fallbacks_and_aliases_may_name_whatever_callers_may() -> None:
    text = """
    routes:
      chat: {targets: {m@1: 1, m@2: 1}, fallbacks: {unavailable: [minilm, m@2, gpt, small]}}
      small: {targets: {minilm@1: 1}}
    aliases: {gpt: m, gpt-4: gpt, exact: m@1}
    models: {m: {}, minilm: {}}
    """
    assert found(text) == {}
