"""What the replicas of models, of groups and of pools report."""

from __future__ import annotations

from deployments.metrics.row import CounterRow, GaugeRow, HistogramRow, Section

REPLICA = ("application", "replica")
MODEL = (*REPLICA, "model", "version")
RANK = (*MODEL, "rank")
GPU = ("model", "version", "node", "gpu")

_GENERATION = "a model that generates"
_GPU = "a GPU"
_GROUP = "a model divided between ranks"
_POOL = "a pool"

_BATCH = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
_POOL_LOAD_S = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)

ENGINE_RUNNING = GaugeRow("stowage_engine_requests_running", "Requests that the engine works on", MODEL)
ENGINE_WAITING = GaugeRow("stowage_engine_requests_waiting", "Requests that wait in the engine", MODEL)
KV_PAGES = GaugeRow("stowage_engine_kv_pages", "Pages of the KV cache", MODEL, needs=_GENERATION)
KV_PAGES_USED = GaugeRow(
    "stowage_engine_kv_pages_used", "Of these, those of running requests", MODEL, needs=_GENERATION
)
BATCH_SIZE = HistogramRow(
    "stowage_engine_batch_size",
    "Requests of a generation step, inputs of an embedding batch, or tensor requests in one forward pass",
    MODEL,
    buckets=_BATCH,
)
BUSY = CounterRow(
    "stowage_engine_busy_seconds_total",
    "Time in forward passes and what belongs to each: over the batches, the time of a step",
    MODEL,
)
ENGINE_PROMPT_TOKENS = CounterRow(
    "stowage_engine_prompt_tokens_total", "Tokens of the prompts and inputs that were worked on", MODEL
)
ENGINE_COMPLETION_TOKENS = CounterRow(
    "stowage_engine_completion_tokens_total", "Tokens that were generated", MODEL, needs=_GENERATION
)
PREFIX_HIT_TOKENS = CounterRow(
    "stowage_engine_prefix_hit_tokens_total",
    "Of the prompts' tokens those that were found in the KV cache, computed for an earlier request",
    MODEL,
    needs=_GENERATION,
)

STARTS = CounterRow("stowage_replica_starts_total", "Starts of replicas that have come to their end", MODEL)
START_DURATION = GaugeRow(
    "stowage_replica_start_duration_seconds",
    "How long the start of this replica has taken, by phase; `total` is all of it",
    (*MODEL, "phase"),
)
WEIGHTS = GaugeRow("stowage_replica_weights_bytes", "Size of the weight files that the start has read", MODEL)
ENGINE_STARTING = GaugeRow(
    "stowage_engine_starting",
    "1 while a replica waits for its turn on a GPU, or has it",
    (*GPU, "state", "behind"),
    needs=_GPU,
)
SHARE_KEPT = GaugeRow(
    "stowage_compute_share_kept",
    "1 where an MPS daemon keeps the replica's `compute_share`, 0 where none runs and it has no effect",
    GPU,
    needs=f"{_GPU} and `compute_share`",
)

PLANNED = GaugeRow(
    "stowage_memory_planned_bytes",
    "Bytes of one term of the plan, of all on the device (`total`), and beside a GPU (`host`)",
    (*RANK, "term"),
)
MEASURED = GaugeRow(
    "stowage_memory_measured_bytes",
    "Bytes measured: now (`total`), at most (`peak`), and parts of these",
    (*RANK, "term"),
)
BUDGET = GaugeRow("stowage_memory_budget_bytes", "Bytes that the replica may take on its device", RANK)
DEVIATION = GaugeRow(
    "stowage_memory_deviation_ratio",
    "The most measured with what is planned now over the planned total, less one: 0.05 is 5% more",
    RANK,
)
OVER_BUDGET = GaugeRow(
    "stowage_memory_over_budget", "1 while the replica takes more than its budget, else 0", RANK
)
OVER_BUDGET_EPISODES = CounterRow(
    "stowage_memory_over_budget_episodes_total", "How often it went over its budget", RANK, needs="an episode"
)

GROUP_STARTING = GaugeRow(
    "stowage_group_starting",
    "1 while a group starts; `after` is what the last one has failed of, empty where none did",
    (*REPLICA, "after"),
    needs=_GROUP,
)
GROUP_RANKS = GaugeRow(
    "stowage_group_ranks",
    "1 for each rank of a group that serves",
    (*REPLICA, "rank", "node", "stage", "slice"),
    needs=_GROUP,
)
GROUP_FAILURES = GaugeRow(
    "stowage_group_failures",
    "Groups of the application that have failed. Each leader reports those of all: take the maximum, not the sum",
    (*REPLICA, "kind"),
    needs=_GROUP,
)

POOL_HITS = CounterRow("stowage_pool_hits_total", "Requests that found their model loaded", MODEL, needs=_POOL)
POOL_LOADS = CounterRow("stowage_pool_loads_total", "How often the model was loaded", MODEL, needs=_POOL)
POOL_FAILURES = CounterRow(
    "stowage_pool_failures_total", "How often the model could not be loaded", MODEL, needs=f"{_POOL} and a failure"
)
POOL_EVICTIONS = CounterRow(
    "stowage_pool_evictions_total",
    "How often the model was closed: to make room, because it was broken, or to shed",
    MODEL,
    needs=_POOL,
)
POOL_LOAD_DURATION = HistogramRow(
    "stowage_pool_load_duration_seconds", "Time of one load", MODEL, needs=_POOL, buckets=_POOL_LOAD_S
)
POOL_RESIDENT = GaugeRow(
    "stowage_pool_resident_bytes", "Planned bytes of the model while it is loaded", MODEL, needs=_POOL
)
POOL_PLANNED_WEIGHTS = GaugeRow(
    "stowage_pool_planned_weights_bytes",
    "Planned bytes of the model's mapped weights while it is loaded",
    MODEL,
    needs=_POOL,
)
POOL_MEASURED_WEIGHTS = GaugeRow(
    "stowage_pool_measured_weights_bytes",
    "Bytes of the model's mapped weights that are in memory",
    MODEL,
    needs=_POOL,
)

SECTIONS = (
    Section(
        "Engines",
        "each replica of a model, the leader of a group, and a pool for each of its loaded models",
        (
            ENGINE_RUNNING,
            ENGINE_WAITING,
            KV_PAGES,
            KV_PAGES_USED,
            BATCH_SIZE,
            BUSY,
            ENGINE_PROMPT_TOKENS,
            ENGINE_COMPLETION_TOKENS,
            PREFIX_HIT_TOKENS,
        ),
    ),
    Section("Starts", "each replica of a model", (STARTS, START_DURATION, WEIGHTS, ENGINE_STARTING, SHARE_KEPT)),
    Section(
        "Memory",
        "each replica, and each rank of a group; `model` and `version` are empty for a pool, `rank` for all but "
        "groups",
        (PLANNED, MEASURED, BUDGET, DEVIATION, OVER_BUDGET, OVER_BUDGET_EPISODES),
    ),
    Section("Groups", "the leader of each group", (GROUP_STARTING, GROUP_RANKS, GROUP_FAILURES)),
    Section(
        "Pools",
        "each replica of a pool",
        (
            POOL_HITS,
            POOL_LOADS,
            POOL_FAILURES,
            POOL_EVICTIONS,
            POOL_LOAD_DURATION,
            POOL_RESIDENT,
            POOL_PLANNED_WEIGHTS,
            POOL_MEASURED_WEIGHTS,
        ),
    ),
)
