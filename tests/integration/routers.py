"""A cluster of two router replicas in front of a small model, and the books that they keep."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy import select

from benchmarks.seeded_models import write_llama
from deployments.audit.reader import Cursor, read_chunk
from deployments.audit.record import RequestRecord
from deployments.audit.segments import list_segments
from deployments.state.database import Database
from deployments.state.schema import LEASES, REPLICAS
from tests.integration.cluster import Cluster, Config, command_line, free_port, run_command, run_json

MODEL = "llama"
MAX_TOKENS = 256


@dataclass(frozen=True)
class Books:
    """What routers wrote down: in the state database at ``url``, and in the journal of their node."""

    url: str
    audit: Path

    def create_key(self, owner: str, *options: str) -> str:
        """The text of a new key."""
        return run_command("stowage", "keys", "create", owner, *options, "--state", self.url, "--quiet").strip()

    def records(self) -> list[RequestRecord]:
        """All requests of the journal."""
        chunks = [read_chunk(self.audit, Cursor(each.file), 2**30) for each in list_segments(self.audit)]
        return [record for chunk in chunks for record in chunk.records if isinstance(record, RequestRecord)]

    def usage(self, by: str = "model") -> list[dict[str, object]]:
        """``stowage usage``."""
        found: list[dict[str, object]] = run_json("stowage", "usage", "--by", by, "--state", self.url)
        return found

    def counts_all(self) -> bool:
        """Whether the database has counted each request of the journal, once."""
        records = [record for record in self.records() if record.shadow_of is None]
        totals = self.usage()
        return (len(records), tokens(records)) == (
            sum(int(str(total["requests"])) for total in totals),
            sum(int(str(total[name])) for total in totals for name in ("input_tokens", "output_tokens")),
        )

    def is_intact(self) -> bool:
        """``stowage audit verify``; AssertionError with what it says where it is not."""
        run_command("stowage", "audit", "verify", str(self.audit), "--state", self.url, "--whole")
        return True

    def lease_holders(self) -> set[str]:
        """The router replicas that live or hold something."""
        with Database.open(self.url) as database, database.read() as connection:
            return {
                *connection.execute(select(LEASES.c.replica)).scalars(),
                *connection.execute(select(REPLICAS.c.replica)).scalars(),
            }


def tokens(records: Iterable[RequestRecord]) -> int:
    return sum(record.input_tokens + record.output_tokens for record in records)


def models(cluster: Cluster, key: str | None) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.get(f"{cluster.base_url}/v1/models", headers=headers, timeout=30)


def all_say(ask: Callable[[], httpx.Response], status: int) -> bool:
    """Whichever router replica answers."""
    return all(ask().status_code == status for _ in range(12))


def two_routers(
    folder: Path, books: Books, policy: Config | None = None, num_models: int = 2, **router: object
) -> Config:
    """Two router replicas, and ``num_models`` of a language model that was written into ``folder``."""
    write_llama(folder / "model", seed=1, max_tokens=MAX_TOKENS)
    model = {
        "model": MODEL,
        "version": "1",
        "source": f"file:{folder / 'model'}",
        "task": "generate",
        "store": str(folder / "store"),
        "num_cpus": 0.1,
        "min_replicas": num_models,
        "max_replicas": num_models,
        "limits": {"max_model_len": MAX_TOKENS, "max_num_seqs": 8},
    }
    return {
        "http_options": {"host": "127.0.0.1", "port": free_port()},
        "applications": [
            router_application(books, policy, num_replicas=2, **router),
            {
                "name": f"{MODEL}@1",
                "route_prefix": None,
                "import_path": "deployments.app:build_model",
                "args": model,
            },
        ],
    }


def router_application(books: Books, policy: Config | None = None, **args: object) -> Config:
    return {
        "name": "router",
        "route_prefix": "/",
        "import_path": "deployments.app:build_router",
        "args": {"num_cpus": 0.1, "state": books.url, "audit_dir": str(books.audit), **args},
        "deployments": [{"name": "Router", "user_config": policy or {}}],
    }


def controller_pid(cluster: Cluster) -> int | None:
    """Of Serve's controller; None while there is none."""
    for pid in cluster.descendants():
        if "".join(command_line(pid)[:1]).startswith("ray::ServeController"):  # Ray adds the method that runs
            return pid
    return None
