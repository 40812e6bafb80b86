"""Which protocol a path belongs to, when something goes wrong there."""

from __future__ import annotations

from deployments.api.anthropic.errors import ANTHROPIC_ERRORS
from deployments.api.http.errors import ErrorFormat
from deployments.api.oip.errors import OIP_ERRORS
from deployments.api.openai.errors import OPENAI_ERRORS


def error_format_of(path: str) -> ErrorFormat:
    """Anthropic's under ``/v1/messages``, OpenAI's elsewhere under ``/v1`` and under ``/admin``, else the Open
    Inference Protocol's.
    """
    if path == "/v1/messages" or path.startswith("/v1/messages/"):
        return ANTHROPIC_ERRORS
    return OPENAI_ERRORS if path == "/v1" or path.startswith(("/v1/", "/admin/")) else OIP_ERRORS
