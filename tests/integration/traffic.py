"""Clients in threads that ask one language model without pause, and what each of their requests came to."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random

import httpx

TIMEOUT_S = 30.0
"""What each request may take by its own header."""

PROMPTS = [[3 + (7 * number + place) % 1000 for place in range(8)] for number in range(12)]
"""As tokens of a seeded model."""


LENGTHS = (8, 64, 200)
"""Of answers, in tokens."""


@dataclass
class Answer:
    """One request. ``status`` is 0 where no response came; ``text`` and ``tokens`` as far as they came.

    ``finished``: its last byte came, and it was a whole answer. ``cut``: the connection ended before that.
    ``left``: the client went away by itself. ``error`` is the error's text, of the body or within the stream.
    """

    id: str
    prompt: int
    max_tokens: int
    streamed: bool
    status: int = 0
    text: str = ""
    tokens: int = 0
    seconds: float = 0.0
    finished: bool = False
    cut: bool = False
    left: bool = False
    error: str | None = None
    is_ours: bool = False
    """Of an error: whether it has the shape of OpenAI's."""


@dataclass(frozen=True)
class Target:
    """Whom to ask, as whom, and what: the first ``num_prompts`` of PROMPTS, and for ``lengths`` tokens.

    ``timeout_s`` is what each request may take by its own header. ``balanced``: as behind a load balancer, which
    looks after the proxy of each connection before it sends a request there.
    """

    base_url: str
    model: str
    key: str = "none"
    lengths: tuple[int, ...] = LENGTHS
    num_prompts: int = len(PROMPTS)
    timeout_s: float = TIMEOUT_S
    balanced: bool = False


@dataclass
class Client:
    """Asks as one of several clients; by ``seed`` it decides what."""

    target: Target
    seed: int
    answers: list[Answer] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        random = Random(self.seed)  # noqa: S311
        while not stop.is_set():
            with httpx.Client(base_url=self.target.base_url, timeout=2 * self.target.timeout_s) as http:
                while not stop.is_set() and self.is_healthy(http):
                    self.ask(http, random)
                    if self.answers[-1].status != 200:
                        stop.wait(0.05)

    def is_healthy(self, http: httpx.Client) -> bool:
        """Whether the proxy of the connection takes requests; one of a node that goes or has gone does not."""
        if not self.target.balanced:
            return True
        with suppress(httpx.TransportError):
            return http.get("/-/healthz").status_code == 200
        return False

    def ask(self, http: httpx.Client, random: Random) -> None:
        answer = Answer(
            id=uuid.uuid4().hex,
            prompt=random.randrange(self.target.num_prompts),
            max_tokens=random.choice(self.target.lengths),
            streamed=random.random() < 0.6,
        )
        leaves = answer.streamed and random.random() < 0.15
        began = time.monotonic()
        try:
            self.send(http, answer, leaves)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.ConnectError) as error:
            answer.cut, answer.error = True, repr(error)
        answer.seconds = time.monotonic() - began
        self.answers.append(answer)

    def send(self, http: httpx.Client, answer: Answer, leaves: bool = False) -> None:
        body = {
            "model": self.target.model,
            "prompt": PROMPTS[answer.prompt],
            "max_tokens": answer.max_tokens,
            "temperature": 0,
            **({"stream": True, "stream_options": {"include_usage": True}} if answer.streamed else {}),
        }
        headers = {
            "authorization": f"Bearer {self.target.key}",
            "x-request-id": answer.id,
            "x-request-timeout": f"{self.target.timeout_s:g}",
        }
        with http.stream("POST", "/v1/completions", json=body, headers=headers) as reply:
            answer.status = reply.status_code
            if reply.status_code == 200 and answer.streamed:
                _read_events(reply.iter_lines(), answer, leaves)
            else:
                _read_body(reply.read(), answer)


def _read_events(lines: Iterable[str], answer: Answer, leaves: bool) -> None:
    for event in _events(lines):
        if event == "[DONE]":
            answer.finished = answer.error is None
            return
        _read_event(json.loads(event), answer)
        if leaves and answer.text:
            answer.left = True
            return
    answer.cut = answer.error is None


def _events(lines: Iterable[str]) -> Iterator[str]:
    return (line.removeprefix("data: ") for line in lines if line.startswith("data: "))


def _read_event(event: dict[str, object], answer: Answer) -> None:
    if "error" in event:
        _note_error(event, answer)
        return
    for choice in _list(event.get("choices")):
        answer.text += str(choice["text"])
    usage = event.get("usage")
    if isinstance(usage, dict):
        answer.tokens = usage["total_tokens"]


def _read_body(body: bytes, answer: Answer) -> None:
    try:
        event = json.loads(body)
    except ValueError:
        answer.error = body.decode()
        return
    _read_event(event, answer)
    answer.finished = answer.error is None


def _note_error(event: dict[str, object], answer: Answer) -> None:
    error = event["error"]
    answer.error = json.dumps(error)
    answer.is_ours = isinstance(error, dict) and {"message", "type", "code"} <= error.keys()


def _list(value: object) -> list[dict[str, object]]:
    return value if isinstance(value, list) else []


@dataclass
class Traffic:
    """Several clients at once, until ``stopped``."""

    clients: list[Client]
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def answers(self) -> list[Answer]:
        return [answer for client in self.clients for answer in client.answers]

    @property
    def num_finished(self) -> int:
        return sum(answer.finished for answer in self.answers)


@contextmanager
def traffic(target: Target, num_clients: int = 8) -> Iterator[Traffic]:
    """In the body clients ask without pause; after it each has its last answer."""
    running = Traffic([Client(target, seed) for seed in range(num_clients)])
    threads = [threading.Thread(target=client.run, args=(running.stop,)) for client in running.clients]
    for thread in threads:
        thread.start()
    try:
        yield running
    finally:
        running.stop.set()
        for thread in threads:
            thread.join(3 * target.timeout_s)
        assert not any(thread.is_alive() for thread in threads), "a request hangs"


def references(target: Target) -> dict[tuple[int, int], str]:
    """The text of each prompt with each ``max_tokens``, asked of a quiet cluster."""
    client, found = Client(target, seed=0), {}
    with httpx.Client(base_url=target.base_url, timeout=target.timeout_s) as http:
        for prompt in range(target.num_prompts):
            for max_tokens in target.lengths:
                answer = Answer(uuid.uuid4().hex, prompt, max_tokens, streamed=False)
                client.send(http, answer)
                assert answer.finished, answer
                found[prompt, max_tokens] = answer.text
    return found
