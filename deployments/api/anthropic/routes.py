"""Where Anthropic's protocol is served."""

from __future__ import annotations

from deployments.api.anthropic.events import Event
from deployments.api.anthropic.messages import MessagesEndpoint
from deployments.api.anthropic.replies import MessageReply
from deployments.api.anthropic.schemas import MessagesRequest
from deployments.api.http.operation import Operation
from deployments.dataplane.operations import DataPlane


def operations(dataplane: DataPlane) -> tuple[Operation, ...]:
    """What Anthropic has under ``/v1/messages``."""
    create = MessagesEndpoint(dataplane).create
    return (Operation("POST", "/v1/messages", create, MessageReply, MessagesRequest, event=Event),)
