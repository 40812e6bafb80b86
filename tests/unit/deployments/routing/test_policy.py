"""What an operator may say of traffic."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
import yaml
from pydantic import ValidationError

from deployments.routing.breaker import BreakerSettings
from deployments.routing.failures import Failure
from deployments.routing.policy import Match, Route, RouterPolicy
from models.types import VersionId

EVERYTHING = """
routes:
  chat:
    targets: {smollm2-135m@1: 95, smollm2-135m@2: 5}
    sticky: header:X-Session-Id
    match:
      - {headers: {X-Team: research, x-beta: "*"}, targets: {smollm2-135m@2: 1}}
    shadow: [{target: smollm2-135m@3, share: 0.1}]
    fallbacks: {unavailable: [minilm, gpt], overloaded: [minilm@2]}
    retries: {attempts: 3, budget: 0.1}
    breaker: {window_s: 10}
    deadline_s: 30
    hedge: {after_ms: 500}
    log_text: true
  minilm: {version: 1, breaker: off}
aliases: {gpt: smollm2-135m, gpt-4: gpt}
models: {smollm2-135m: {price: {input: 0.10, output: 0.40}, limits: {tokens_per_day: 1000}}}
tenants: {acme: {weight: 2}}
"""


def policy(text: str) -> RouterPolicy:
    return RouterPolicy.model_validate(yaml.safe_load(text))


def test_all_of_it_is_read() -> None:
    read = policy(EVERYTHING)
    chat = read.routes["chat"]
    assert chat.weights("chat") == {VersionId("smollm2-135m", "1"): 95, VersionId("smollm2-135m", "2"): 5}
    assert chat.sticky == "header:x-session-id"
    assert chat.fallbacks[Failure.UNAVAILABLE] == ("minilm", "gpt")
    assert chat.breaker == BreakerSettings(window_s=10)
    assert read.models["smollm2-135m"].price.input == Decimal("0.1")
    assert read.tenants["acme"].weight == 2
    assert read.unalias("gpt-4") == "smollm2-135m"


def test_it_survives_its_way_through_json() -> None:
    read = policy(EVERYTHING)
    assert RouterPolicy.model_validate(json.loads(json.dumps(read.model_dump(mode="json")))) == read


def test_an_unquoted_off_is_what_it_says() -> None:
    """YAML reads it as false."""
    assert policy(EVERYTHING).routes["minilm"].breaker is None
    assert Route.model_validate({"breaker": "off"}).breaker is None


def test_numbers_are_versions_of_the_route_s_own_name() -> None:
    route = policy("routes: {m: {targets: {1: 95, 2: 5, n@1: 0}}}").routes["m"]
    assert {str(version): weight for version, weight in route.weights("m").items()} == {
        "m@1": 95,
        "m@2": 5,
        "n@1": 0,
    }


def test_a_route_need_not_name_a_version() -> None:
    assert policy("routes: {m: {deadline_s: 3}}").routes["m"].weights("m") == {}


@pytest.mark.parametrize(
    ("attributes", "accepted"),
    [
        ({"x-team": "research", "x-beta": ""}, True),
        ({"x-team": "research", "x-beta": "1", "host": "h"}, True),
        ({"x-team": "research"}, False),
        ({"x-team": "Research", "x-beta": "1"}, False),
        ({}, False),
    ],
)
def test_a_match_wants_exact_values_of_all_its_headers(attributes: dict[str, str], accepted: bool) -> None:
    match = Match(headers={"X-Team": "research", "x-beta": "*"}, version="2")
    assert match.accepts(attributes) == accepted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("routes: {m: {version: 1, targets: {2: 1}}}", "write version or targets, not both"),
        ("routes: {m: {targets: {1: 0, 2: 0}}}", "need a weight above 0"),
        ("routes: {m: {targets: {}}}", "need a weight above 0"),
        ("routes: {m: {targets: {1: -1, 2: 3}}}", "greater than or equal to 0"),
        ("routes: {m: {targets: {1: .inf}}}", "finite"),
        ("routes: {m: {targets: {1: 1, m@1: 1}}}", "targets of route 'm' name one version twice: 1, m@1"),
        ("routes: {m: {match: [{headers: {a: b}, targets: {1: 1, m@1: 1}}]}}", "name one version twice"),
        ("routes: {m: {targets: {a b: 1}}}", "model version 'a b' is not valid"),
        ("routes: {m: {targets: {n@: 1}}}", "model version '' is not valid"),
        ("routes: {m: {match: [{headers: {a: b}}]}}", "a match needs a version or targets"),
        ("routes: {m: {match: [{headers: {}, version: 1}]}}", "at least 1"),
        ("routes: {m: {shadow: [{target: 2, share: 0}]}}", "greater than 0"),
        ("routes: {m: {shadow: [{target: 2, share: 1.5}]}}", "less than or equal to 1"),
        ("routes: {m: {sticky: cookie}}", "pattern"),
        ("routes: {m: {fallbacks: {broken: [n]}}}", "'unavailable', 'overloaded', 'deadline'"),
        ("routes: {m: {fallbacks: {overloaded: [a b]}}}", "'a b' is not valid"),
        ("routes: {m: {fallbacks: {overloaded: [m]}}}", "route 'm' falls back to itself when overloaded"),
        ("{routes: {m: {fallbacks: {overloaded: [n]}}}, aliases: {n: m}}", "falls back to itself"),
        ("routes: {m: {fallbacks: {deadline: [n, o, n]}}}", "falls back to 'n' twice when deadline"),
        ("routes: {m: {breaker: on}}", "BreakerSettings"),
        ("routes: {m: {deadline_s: 0}}", "greater than 0"),
        ("routes: {m: {hedge: {after_ms: 0}}}", "greater than 0"),
        ("aliases: {a: a}", "aliases lead in a circle: a -> a"),
        ("aliases: {a: b, b: c, c: a}", "aliases lead in a circle: a -> b -> c -> a"),
        ("{routes: {m: {}}, aliases: {m: n}}", "alias 'm' hides the route of that name"),
        ("aliases: {a: -}", "model name '-' is not valid"),
        ("aliases: {a@1: m}", "model name 'a@1' is not valid"),
        ("tenants: {acme: {weight: 0}}", "greater than 0"),
        ("models: {m: {limit: {}}}", "Extra inputs"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        policy(text)


def test_models_that_back_each_other_up_are_no_circle() -> None:
    """Each is tried once for a request; see FallbackChain."""
    assert policy("routes: {a: {fallbacks: {unavailable: [b]}}, b: {fallbacks: {unavailable: [a]}}}")
