"""The table of all metrics: what is not in it does not exist, and what is in it is reported somewhere.

To add one: a row in the file of who reports it, its labels into ``LABELS``, and ``make docs``.
"""

from __future__ import annotations

from collections.abc import Mapping

from deployments.metrics import controller_rows, replica_rows, router_rows
from deployments.metrics.row import Row, Section

SECTIONS: tuple[Section, ...] = (
    *router_rows.SECTIONS,
    *replica_rows.SECTIONS,
    *controller_rows.SECTIONS,
)
ROWS: tuple[Row, ...] = tuple(row for section in SECTIONS for row in section.rows)

LABELS: Mapping[str, str] = {
    "after": "what the last group has failed of, in words",
    "agreement": "of a shadow copy's answer with the original: `same`, `different`, or `unknown` where they were "
    "not compared",
    "application": "the Serve application, `name@version` or that of a pool",
    "behind": "the version whose start is waited for",
    "cause": "what the number of replicas is bound by: `load`, `min_replicas`, `max_replicas`, `schedule`, "
    "`stabilisation`, `max_step`, `idle`, `not idle yet` or `no reports`; of changes also `serve`, which made it",
    "error": "the code of the error, as in the audit journal; `unroutable` where HTTP itself refused; empty "
    "without one",
    "gpu": "as CUDA names it",
    "kind": "`died`, `stalled`, `out_of_memory`, `over_budget` or `error`",
    "limit": "`requests_per_minute`, `tokens_per_day` and so on, as it is configured",
    "model": "its name",
    "name": "of the tenant or model whose limit it is. Limits of single keys have no series",
    "new": "the version that takes over, `name@version`",
    "node": "the name of the node",
    "old": "the version that it takes over from, `name@version`",
    "operation": "`generate`, `embed` or `infer`; `other` for what asks no model",
    "outcome": "of requests and shadows `ok`, `refused`, `failed` or `cancelled`; of attempts `ok`, `cancelled` "
    "or the error's code",
    "phase": "`import` (the files are brought onto the node), `turn` (other starts on the GPU are waited for), "
    "`load` (weights and warm-up) or `total`",
    "protocol": "`openai`, `anthropic`, `oip`, `grpc` or `admin`",
    "rank": "of a group, from 0",
    "reason": "`route` (its name led there), `rollout` (its share), `fallback`, `retry`, `hedge` or `shadow`",
    "replica": "its id as Serve names it",
    "result": "`up`, or `gave_up` where it was not up when the last request stopped waiting",
    "route": "the public name: a route, an alias or a model",
    "scope": "whose limit: `key`, `tenant` or `model`",
    "slice": "tensor parallel index, from 0",
    "stage": "pipeline stage, from 0",
    "state": "of a breaker `closed`, `open` or `half_open`; of a rollout `running`, `paused`, `done`, "
    "`rolled_back` or `aborted`; of a start `waiting` or `loading`",
    "status": "`ready`, `asleep`, `starting`, `waiting`, `failed` or `stopping`",
    "tenant": "of the caller's key; `default` without keys, empty for a wrong one",
    "term": "of the plan or measurement: `weights`, `kv_cache` and so on",
    "version": "its version",
}
