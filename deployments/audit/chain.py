"""How a line proves the lines before it.

A line is ``{"seq":N,FIELDS,"hash":"H"}`` and a newline: one JSON object. With B the bytes of the line before
``,"hash":"`` and P the ``hash`` of the line before it (64 zeros before a writer's first line), both as they are
in the file, H is the SHA-256 of P followed by B, in lower-case hex. ``seq`` counts a writer's lines from 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

from deployments.audit.record import Record, decode_record

FIRST = "0" * 64
"""What the first line of a writer follows."""

_LINE = re.compile(rb'(?P<body>\{"seq":(?P<seq>\d+),.*),"hash":"(?P<hash>[0-9a-f]{64})"\}\n', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Line:
    """One complete line of a segment, as it was read: its newline is part of ``raw``."""

    raw: bytes
    body: bytes
    seq: int
    hash: str

    def follows(self, previous: str) -> bool:
        """Whether it stands behind the line with the hash ``previous``, both unchanged."""
        return _link(previous, self.body) == self.hash

    def record(self) -> Record:
        """What the line tells."""
        return decode_record(self.raw)


def seal(seq: int, previous: str, record: bytes) -> tuple[bytes, str]:
    """The line that holds ``record``, a JSON object, and the line's hash, which the next line needs."""
    body = b'{"seq":%d,%b' % (seq, record[1:-1])
    digest = _link(previous, body)
    return b'%b,"hash":"%b"}\n' % (body, digest.encode()), digest


def read_line(raw: bytes) -> Line | None:
    """``raw`` taken apart; None if it is not a complete line of a journal. Does not check the hash."""
    match = _LINE.fullmatch(raw)
    return match and Line(raw, match["body"], int(match["seq"]), match["hash"].decode())


def _link(previous: str, body: bytes) -> str:
    return sha256(previous.encode() + body).hexdigest()
