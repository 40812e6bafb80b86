from __future__ import annotations

import httpx
import pytest

from tests.unit.deployments.api.fake import FakeDataPlane

SAID = [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": SAID, "user": "ann"}),
        ("/v1/completions", {"prompt": "hello", "user": "ann"}),
        ("/v1/responses", {"input": "hello", "user": "ann"}),
        ("/v1/responses", {"input": "hello", "safety_identifier": "ann"}),
        ("/v1/messages", {"messages": SAID, "max_tokens": 5, "metadata": {"user_id": "ann"}}),
    ],
)
def test_the_end_user_reaches_the_data_plane(
    http: httpx.Client, dataplane: FakeDataPlane, path: str, body: dict[str, object]
) -> None:
    assert http.post(path, json={"model": "echo", **body}).status_code == 200
    assert dataplane.users[-1] == "ann"
