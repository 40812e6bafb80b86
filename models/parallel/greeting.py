"""Whether ranks reach each other: each listens, each greets the others, and both sides prove that they belong
together.

The one that asks sends its rank and a nonce, the other answers with a nonce of its own and a proof; the first
sends its proof and hears that it is welcome. A proof is the HMAC, under the group's token, of the prover's part,
its rank and the other side's nonce: it can be neither guessed, repeated nor sent back to where it came from.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread

from models.errors import GroupError
from models.parallel.addresses import Address, listen, port_of

_NONCE_BYTES = 16
_PROOF_BYTES = 32
_RANK_BYTES = 4
_WELCOME = b"\x01"
_ASKS, _ANSWERS = b"asks", b"answers"
_OPEN_THE_WAY = "let the nodes of a group reach each other on all ports"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a rank can be greeted."""

    rank: int
    address: Address


class Doorway:
    """Answers the greetings of those that have the group's ``token``, until it is closed.

    ``address`` is the one under which the others reach this rank; port 0 is any free one. A stranger holds up
    nobody: each caller has a thread of its own, which leaves it after ``within_s`` of silence. GroupError when it
    cannot listen there.
    """

    def __init__(self, rank: int, address: Address, token: bytes, within_s: float) -> None:
        self._listener = listen(address)
        self._rank = rank
        self._token = token
        self._within_s = within_s
        self.endpoint = Endpoint(rank, Address(address.host, port_of(self._listener)))
        Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        with suppress(OSError):  # closed before
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts, which closing does not
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, caller = self._listener.accept()
            except OSError:  # closed
                return
            Thread(target=self._meet, args=(connection, caller[0]), daemon=True).start()

    def _meet(self, connection: socket.socket, caller: str) -> None:
        try:
            with connection:
                connection.settimeout(self._within_s)
                _answer(_Stream(connection), self._rank, self._token)
        except (_StrangerError, OSError) as error:
            _logger.warning("rank %d turned %s away: %s", self._rank, caller, error)


def greet(rank: int, endpoint: Endpoint, token: bytes, within_s: float) -> str:
    """Let ``rank`` greet another one; what was reached, or GroupError with the reason why it was not."""
    address = endpoint.address
    other = f"rank {endpoint.rank} at {address}"
    try:
        with socket.create_connection((address.host, address.port), within_s) as connection:
            _ask(_Stream(connection), rank, endpoint.rank, token)
    except _StrangerError as error:
        raise GroupError(
            f"what answers at {address} is not rank {endpoint.rank} of this group: {error}",
            remedy="see which process listens there, and that no proxy stands between the nodes",
        ) from error
    except TimeoutError as error:
        raise GroupError(f"{other} does not answer within {within_s:g} s", remedy=_OPEN_THE_WAY) from error
    except OSError as error:
        raise GroupError(f"{other} cannot be reached: {error.strerror or error}", remedy=_OPEN_THE_WAY) from error
    return f"reached {other}"


class _StrangerError(Exception):
    """The other side does not belong to the group."""


class _Stream:
    """Reads and writes whole messages."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.write = connection.sendall

    def read(self, num_bytes: int) -> bytes:
        content = b""
        while len(content) < num_bytes:
            piece = self._connection.recv(num_bytes - len(content))
            if not piece:
                raise _StrangerError("it hung up")
            content += piece
        return content


def _ask(stream: _Stream, rank: int, other: int, token: bytes) -> None:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    stream.write(nonce + rank.to_bytes(_RANK_BYTES))
    their_nonce = stream.read(_NONCE_BYTES)
    _check(stream.read(_PROOF_BYTES), _proof(token, _ANSWERS, other, nonce))
    stream.write(_proof(token, _ASKS, rank, their_nonce))
    if stream.read(len(_WELCOME)) != _WELCOME:
        raise _StrangerError("it does not welcome this rank")


def _answer(stream: _Stream, rank: int, token: bytes) -> None:
    their_nonce = stream.read(_NONCE_BYTES)
    other = int.from_bytes(stream.read(_RANK_BYTES))
    nonce = secrets.token_bytes(_NONCE_BYTES)
    stream.write(nonce + _proof(token, _ANSWERS, rank, their_nonce))
    _check(stream.read(_PROOF_BYTES), _proof(token, _ASKS, other, nonce))
    stream.write(_WELCOME)


def _proof(token: bytes, part: bytes, rank: int, nonce: bytes) -> bytes:
    return hmac.digest(token, part + rank.to_bytes(_RANK_BYTES) + nonce, "sha256")


def _check(proof: bytes, expected: bytes) -> None:
    if not hmac.compare_digest(proof, expected):
        raise _StrangerError("it does not have the group's token")
