"""What each replica of the router reports. The tenant is a label of counters only: histograms are many series."""

from __future__ import annotations

from deployments.metrics.row import CounterRow, GaugeRow, HistogramRow, Section

_REPORTER = "each replica of the router"
_VERSION = ("model", "version")
_ANSWER = (*_VERSION, "operation")

_TOTAL_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_QUEUE_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_FIRST_TOKEN_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0)
_INTER_TOKEN_S = (
    0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5,
)  # fmt: skip
_COLD_START_S = (0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0)

REQUESTS = CounterRow(
    "stowage_router_requests_total",
    "Requests that have ended, shadow copies left out. The version is the one that answered, or that was chosen "
    "last; empty where none was",
    (*_VERSION, "tenant", "protocol", "operation", "outcome", "error"),
)
REQUEST_DURATION = HistogramRow(
    "stowage_router_request_duration_seconds",
    "From the request's arrival to the last byte of its answer",
    (*_ANSWER, "outcome"),
    buckets=_TOTAL_S,
)
QUEUE_TIME = HistogramRow(
    "stowage_router_queue_time_seconds",
    "How long requests that were asked of a version have waited for a place at it, all attempts together",
    _ANSWER,
    buckets=_QUEUE_S,
)
FIRST_TOKEN = HistogramRow(
    "stowage_router_time_to_first_token_seconds",
    "From a generation's arrival to the first of its answer, cold starts and queues included",
    _VERSION,
    buckets=_FIRST_TOKEN_S,
)
INTER_TOKEN = HistogramRow(
    "stowage_router_inter_token_latency_seconds",
    "From one part of a generation's answer to the next as the router gets them; a part has one token or more",
    _VERSION,
    buckets=_INTER_TOKEN_S,
)
PROMPT_TOKENS = CounterRow("stowage_router_prompt_tokens_total", "Tokens that were asked", (*_VERSION, "tenant"))
COMPLETION_TOKENS = CounterRow(
    "stowage_router_completion_tokens_total",
    "Tokens that were answered, of streams that were cut off too",
    (*_VERSION, "tenant"),
)
COST = CounterRow(
    "stowage_router_cost_total",
    "What requests have cost, in the currency in which the prices are written",
    (*_VERSION, "tenant"),
)
OPEN_STREAMS = GaugeRow("stowage_router_open_streams", "Generations whose answer is on its way", _VERSION)

DECISIONS = CounterRow(
    "stowage_router_decisions_total", "Versions chosen for requests, and why that one", (*_VERSION, "reason")
)
ATTEMPTS = CounterRow(
    "stowage_router_attempts_total",
    "Times that a version was asked, shadow copies left out",
    (*_VERSION, "outcome"),
)
SHADOWS = CounterRow(
    "stowage_router_shadows_total",
    "Shadow copies, by their end: as `outcome` of requests, or `skipped` where too many ran already",
    (*_VERSION, "outcome", "agreement"),
)
RETRIES_REFUSED = CounterRow(
    "stowage_router_retries_refused_total", "Retries that were not made because the budget was used up", ("route",)
)
RETRY_BUDGET = GaugeRow(
    "stowage_router_retry_budget_used_ratio", "Of the route's budget of retries, what is used", ("route",)
)
BREAKER_STATE = GaugeRow(
    "stowage_router_breaker_state",
    "1 for the state in which the version's circuit breaker is, 0 for those in which it was; of several the least "
    "permissive counts",
    (*_VERSION, "state"),
)
BREAKER_OPENINGS = CounterRow(
    "stowage_router_breaker_openings_total", "How often the version's circuit breaker has opened", _VERSION
)

PLACES = GaugeRow(
    "stowage_router_places", "Requests of the version that this replica lets through at once", _VERSION
)
UNDER_WAY = GaugeRow("stowage_router_requests_under_way", "Of these places, those that are taken", _VERSION)
WAITING = GaugeRow("stowage_router_requests_waiting", "Requests that wait for such a place", _VERSION)
COLD_STARTS = CounterRow(
    "stowage_router_cold_starts_total",
    "Versions that were asleep or starting when a request came, by how that ended",
    (*_VERSION, "result"),
)
COLD_START_DURATION = HistogramRow(
    "stowage_router_cold_start_duration_seconds",
    "From the request that woke a version to the version's being up",
    _VERSION,
    buckets=_COLD_START_S,
)
HELD = GaugeRow("stowage_router_requests_held", "Requests that wait for the version to be up", _VERSION)

LIMIT_REFUSALS = CounterRow(
    "stowage_router_limit_refusals_total",
    "Requests refused by a limit; the tenant is that of the caller, whosever limit it was",
    ("scope", "limit", "tenant"),
)
LIMIT_USED = GaugeRow(
    "stowage_router_limit_used_ratio",
    "Of a limit of a tenant or model, what is used in its window, as far as this replica knows. Limits that "
    "nobody has asked for lately have none",
    ("scope", "name", "limit"),
    needs="a limit",
)
LIMIT_LEASED = GaugeRow(
    "stowage_router_limit_leased_ratio",
    "Of a limit of a tenant or model, what this replica has leased to spend without asking",
    ("scope", "name", "limit"),
    needs="a limit",
)

STATE_UP = GaugeRow("stowage_router_state_database_up", "1 while the state database answers, else 0")
UNCOUNTED = GaugeRow(
    "stowage_router_uncounted_bytes", "Bytes of the journal that wait for the state database to count them"
)
JOURNAL_UP = GaugeRow("stowage_router_journal_up", "1 while the audit journal can be written, else 0")
UNWRITTEN = GaugeRow(
    "stowage_router_journal_unwritten_records", "Records of the journal that wait in memory for its disk"
)
LOST = CounterRow("stowage_router_journal_lost_records_total", "Records of the journal that were given up")

ROLLOUT_STATE = GaugeRow(
    "stowage_rollout_state",
    "1 for the state in which the rollout in force is, 0 for those in which it was. Every replica of the router "
    "says the same",
    ("route", "old", "new", "state"),
    needs="a rollout",
)
ROLLOUT_STEP = GaugeRow(
    "stowage_rollout_step", "The step in which the rollout is, from 1", ("route", "old", "new"), needs="a rollout"
)
ROLLOUT_SHARE = GaugeRow(
    "stowage_rollout_share_ratio",
    "The share of the requests that the version gets while the rollout is in force",
    ("route", *_VERSION),
    needs="a rollout",
)

MODEL_STATUS = GaugeRow(
    "stowage_model_status",
    "1 for the status in which the router sees the version, 0 for those in which it was",
    (*_VERSION, "status"),
)
MODEL_REPLICAS = GaugeRow("stowage_model_replicas", "Replicas of the version that are up", _VERSION)

SECTIONS = (
    Section(
        "Requests",
        _REPORTER,
        (
            REQUESTS,
            REQUEST_DURATION,
            QUEUE_TIME,
            FIRST_TOKEN,
            INTER_TOKEN,
            PROMPT_TOKENS,
            COMPLETION_TOKENS,
            COST,
            OPEN_STREAMS,
        ),
    ),
    Section(
        "Routes",
        _REPORTER,
        (DECISIONS, ATTEMPTS, SHADOWS, RETRIES_REFUSED, RETRY_BUDGET, BREAKER_STATE, BREAKER_OPENINGS),
    ),
    Section(
        "Queues and cold starts", _REPORTER, (PLACES, UNDER_WAY, WAITING, COLD_STARTS, COLD_START_DURATION, HELD)
    ),
    Section("Limits and budgets", _REPORTER, (LIMIT_REFUSALS, LIMIT_USED, LIMIT_LEASED)),
    Section("Books", _REPORTER, (STATE_UP, UNCOUNTED, JOURNAL_UP, UNWRITTEN, LOST)),
    Section("Rollouts", _REPORTER, (ROLLOUT_STATE, ROLLOUT_STEP, ROLLOUT_SHARE)),
    Section("Models", _REPORTER, (MODEL_STATUS, MODEL_REPLICAS)),
)
