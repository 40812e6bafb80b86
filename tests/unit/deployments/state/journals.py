"""Journals with requests in them, and what a record of one looks like."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from deployments.audit.record import Charge, Outcome, RequestRecord
from deployments.audit.writer import JournalWriter
from deployments.limits.limit_set import Counter, LimitName, ScopeKind

NOW = 1_800_000_030.0
DAY = 1_799_971_200
TOKENS = Counter(ScopeKind.KEY, "ab12cd34", LimitName.TOKENS_PER_DAY, DAY)
MONEY = Counter(ScopeKind.TENANT, "acme", LimitName.COST_PER_DAY, DAY)


def request(
    tokens: int = 100, *, charges: Iterable[Counter] = (TOKENS, MONEY), replica: str = "r1", **fields: object
) -> RequestRecord:
    """A request of 2027-01-15 that took ``tokens`` in and out together, and 10 nano-units for each."""
    defaults: dict[str, object] = {
        "id": "1",
        "time": datetime.fromtimestamp(NOW, UTC),
        "replica": replica,
        "protocol": "openai",
        "operation": "generate",
        "tenant": "acme",
        "outcome": Outcome.OK,
        "status": 200,
        "total_ms": 1.0,
        "key": "ab12cd34",
        "model": "smol",
        "version": "1",
        "input_tokens": tokens - tokens // 4,
        "output_tokens": tokens // 4,
        "cost_nano": tokens * 10,
        "charges": tuple(Charge(*counter) for counter in charges),
    }
    return RequestRecord(**{**defaults, **fields})  # type: ignore[arg-type]


def open_journal(folder: Path, writer: str = "r1") -> JournalWriter:
    return JournalWriter(folder, writer, lambda: datetime.fromtimestamp(NOW, UTC))
