"""Where OpenAI's protocol is served."""

from __future__ import annotations

from deployments.api.http.operation import Operation
from deployments.api.openai.chat import ChatChoice, ChatChunkChoice, ChatEndpoint, ChatRequest
from deployments.api.openai.completions import CompletionEndpoint, CompletionRequest, TextChoice
from deployments.api.openai.embeddings import EmbeddingBody, EmbeddingEndpoint, EmbeddingList
from deployments.api.openai.errors import ErrorBody
from deployments.api.openai.models import Model, ModelList, ModelsEndpoint
from deployments.api.openai.replies import STREAM_END, Reply
from deployments.api.openai.responses import ResponseEndpoint
from deployments.api.openai.responses_events import Event
from deployments.api.openai.responses_reply import ResponseReply
from deployments.api.openai.responses_schema import ResponseRequest
from deployments.dataplane.operations import DataPlane


def operations(dataplane: DataPlane) -> tuple[Operation, ...]:
    """What OpenAI has under ``/v1``."""
    chat = ChatEndpoint(dataplane).create
    completions = CompletionEndpoint(dataplane).create
    embeddings = EmbeddingEndpoint(dataplane).create
    responses = ResponseEndpoint(dataplane).create
    models = ModelsEndpoint(dataplane)
    return (
        Operation(
            "POST",
            "/v1/chat/completions",
            chat,
            Reply[ChatChoice],
            ChatRequest,
            event=Reply[ChatChunkChoice] | ErrorBody,
            end_mark=STREAM_END,
        ),
        Operation(
            "POST",
            "/v1/completions",
            completions,
            Reply[TextChoice],
            CompletionRequest,
            event=Reply[TextChoice] | ErrorBody,
            end_mark=STREAM_END,
        ),
        Operation("POST", "/v1/responses", responses, ResponseReply, ResponseRequest, event=Event),
        Operation("POST", "/v1/embeddings", embeddings, EmbeddingList, EmbeddingBody),
        Operation("GET", "/v1/models", models.index, ModelList),
        Operation("GET", "/v1/models/{model}", models.show, Model),
    )
