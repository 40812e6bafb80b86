"""Where texts are scored."""

from __future__ import annotations

from deployments.api.http.operation import Operation
from deployments.api.rerank.rerank import RerankEndpoint, RerankReply, RerankRequest
from deployments.api.rerank.score import ScoreEndpoint, ScoreReply, ScoreRequest
from deployments.dataplane.operations import DataPlane


def operations(dataplane: DataPlane) -> tuple[Operation, ...]:
    """Reranking and scoring, under the paths that vLLM has."""
    rerank = RerankEndpoint(dataplane).create
    score = ScoreEndpoint(dataplane).create
    return (
        Operation("POST", "/v1/rerank", rerank, RerankReply, RerankRequest),
        Operation("POST", "/v1/score", score, ScoreReply, ScoreRequest),
    )
