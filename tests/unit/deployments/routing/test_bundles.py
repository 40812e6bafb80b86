"""The bundles of a group travel beside its card."""

from __future__ import annotations

import json

import pytest

from deployments.routing.bundles import Bundles, load_bundles, with_bundles
from deployments.routing.cards import dump_card, load_card
from models.types import ModelCard, Task, VersionId

CARD = ModelCard(VersionId("m", "1"), Task.GENERATE, "transformers", created_unix_s=1)
BUNDLES = Bundles(({"CPU": 0.5, "memory": 1024.0}, {"CPU": 0.5, "GPU": 0.25}), "PACK", ({"a": "in(b,c)"}, {}))


@pytest.mark.parametrize("bundles", [BUNDLES, Bundles(({"CPU": 1.0},), "STRICT_PACK")])
def test_they_come_back_beside_the_card(bundles: Bundles) -> None:
    sent = json.loads(json.dumps(with_bundles(dump_card(CARD), bundles)))
    assert load_bundles(sent) == bundles
    assert load_card(sent) == CARD


@pytest.mark.parametrize(
    "value", [None, [], {}, dump_card(CARD), {"bundles": 1}, {"bundles": {"strategy": "SPREAD"}}]
)
def test_what_has_none_has_none(value: object) -> None:
    assert load_bundles(value) is None


def test_what_is_no_user_config_of_ours_takes_none() -> None:
    with pytest.raises(TypeError, match="'theirs'"):
        with_bundles("theirs", BUNDLES)
