"""Keeps out of a replica's log what transformers says of its own accord."""

from __future__ import annotations

import logging

from transformers.utils import logging as transformers_logging


def quieten_transformers() -> None:
    """No progress bars, which logs keep line by line, and no table of a checkpoint's weights.

    For the whole process, because several models may be loading. Of the table, what is missing or misshapen has to
    be judged by whoever loads the model; what transformers refers to in an error of its own is left.
    """
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.getLogger("transformers.modeling_utils").addFilter(_is_worth_a_line)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return "LOAD REPORT" not in message or "CONVERSION" in message
