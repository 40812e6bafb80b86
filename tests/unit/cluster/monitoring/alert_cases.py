"""What each alert is to fire on, and what not: series as promtool writes them, one value a minute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_SESSION = 'SessionName="s"'
_VERSION = f'{_SESSION},model="smol",version="1"'
_REPLICA = f'{_SESSION},application="smol@1",replica="r1",rank="",NodeAddress="10.0.0.1"'
_GPU = f'{_VERSION},node="n1",gpu="0"'
_POOL = f'{_SESSION},application="pool"'
_REQUESTS = f'ray_stowage_router_requests_total{{{_SESSION},model="smol",'


@dataclass(frozen=True)
class Case:
    """``quiet`` and ``firing``: minutes at which it must not, and must, fire. ``said``: of its description."""

    alert: str
    series: dict[str, str]
    quiet: int
    firing: int
    said: str

    def as_promtool(self) -> dict[str, Any]:
        firing = f'count(ALERTS{{alertname="{self.alert}",alertstate="firing"}})'
        return {
            "name": self.alert,
            "interval": "1m",
            "input_series": [{"series": series, "values": values} for series, values in self.series.items()],
            "promql_expr_test": [
                {"expr": firing, "eval_time": f"{self.quiet}m", "exp_samples": []},
                {"expr": firing, "eval_time": f"{self.firing}m", "exp_samples": [{"labels": "{}", "value": 1}]},
            ],
        }


def gauge(name: str, labels: str, values: str) -> dict[str, str]:
    return {f"{name}{{{labels}}}": values}


MEMORY = (
    Case(
        "StowageReplicaOverBudget",
        gauge("ray_stowage_memory_over_budget", _REPLICA, "0x5 1x10"),
        5,
        8,
        "r1 of smol@1 on 10.0.0.1 is over its budget",
    ),
    Case(
        "StowageMemoryOverPlan",
        gauge("ray_stowage_memory_deviation_ratio", _REPLICA, "0.1x5 0.2x20"),
        10,
        17,
        "r1 of smol@1 has taken 20% more than its plan",
    ),
    Case(
        "StowageComputeShareNotKept",
        gauge("ray_stowage_compute_share_kept", _GPU, "1x5 0x10"),
        6,
        12,
        "smol@1 on GPU 0 of n1 has a compute_share",
    ),
    Case(
        "StowagePoolThrashes",
        gauge("ray_stowage_pool_evictions_total", _POOL, "0x5 0+6x40")
        | gauge("ray_stowage_pool_hits_total", _POOL, "0+4x45")
        | gauge("ray_stowage_pool_loads_total", _POOL, "0+6x45"),
        6,
        40,
        "The pool pool closes 600m models for each request",
    ),
    Case(
        "StowagePoolLoadFails",
        gauge("ray_stowage_pool_failures_total", f'{_POOL},model="smol",version="1"', "0x5 2x10"),
        5,
        8,
        "smol@1 could not be loaded by the pool pool",
    ),
)

MODELS = (
    Case(
        "StowageModelFailed",
        gauge("ray_stowage_model_status", f'{_VERSION},status="failed"', "0x5 1x10"),
        6,
        8,
        "smol@1 has failed",
    ),
    Case(
        "StowageModelWaitsForRoom",
        gauge("ray_stowage_model_status", f'{_VERSION},status="waiting"', "0x5 1x10"),
        8,
        12,
        "smol@1 has waited for 5 minutes",
    ),
    Case(
        "StowageModelStartsForLong",
        gauge("ray_stowage_model_status", f'{_VERSION},status="starting"', "0x5 1x30"),
        18,
        22,
        "smol@1 has been starting for 15 minutes",
    ),
    Case(
        "StowageColdStartsSlow",
        gauge("ray_stowage_router_cold_start_duration_seconds_bucket", f'{_VERSION},le="60"', "0+1x10 10x60")
        | gauge("ray_stowage_router_cold_start_duration_seconds_bucket", f'{_VERSION},le="120"', "0+1x70")
        | gauge("ray_stowage_router_cold_start_duration_seconds_bucket", f'{_VERSION},le="+Inf"', "0+1x70"),
        10,
        60,
        "95% of the cold starts of smol@1 in the last hour took up to 1m 5",
    ),
    Case(
        "StowageColdStartGivenUp",
        gauge("ray_stowage_router_cold_starts_total", f'{_VERSION},result="gave_up"', "0x5 1x10")
        | gauge("ray_stowage_router_cold_starts_total", f'{_VERSION},result="up"', "0+1x15"),
        5,
        8,
        "smol@1 was not up in time",
    ),
    Case(
        "StowageKvCacheFull",
        gauge("ray_stowage_engine_kv_pages_used", f'{_VERSION},replica="r1"', "10x5 99x20")
        | gauge("ray_stowage_engine_kv_pages", f'{_VERSION},replica="r1"', "100x25")
        | gauge("ray_stowage_engine_requests_waiting", f'{_VERSION},replica="r1"', "0x8 4x20"),
        12,
        16,
        "Running requests hold 99% of the KV cache of smol@1",
    ),
    Case(
        "StowageGroupFailed",
        gauge(
            "ray_stowage_group_failures",
            f'{_SESSION},application="big@1",replica="r1",kind="stalled"',
            "0x20 _x20",
        )
        | gauge(
            "ray_stowage_group_failures",
            f'{_SESSION},application="big@1",replica="r2",kind="stalled"',
            "_x20 1x30",
        ),
        19,
        22,
        "Groups of big@1 have failed 1 times in 15 minutes: stalled",
    ),
)

TRAFFIC = (
    Case(
        "StowageErrorsFast",
        {f'{_REQUESTS}outcome="ok"}}': "0+100x200", f'{_REQUESTS}outcome="failed"}}': "0x60 0+10x140"},
        60,
        120,
        "of the requests of smol have failed in the last hour",
    ),
    Case(
        "StowageErrorsSlow",
        {f'{_REQUESTS}outcome="ok"}}': "0+100x800", f'{_REQUESTS}outcome="failed"}}': "0x60 0+1x740"},
        60,
        700,
        "of the requests of smol have failed in the last 6 hours",
    ),
    Case(
        "StowageRequestsRefused",
        {
            f'{_REQUESTS}outcome="ok",error=""}}': "0+90x40",
            f'{_REQUESTS}outcome="refused",error="quota_exceeded"}}': "0+90x40",
            f'{_REQUESTS}outcome="refused",error="overloaded"}}': "0x10 0+20x30",
        },
        10,
        25,
        "of the requests of smol are refused",
    ),
    Case(
        "StowageQueueGrows",
        gauge("ray_stowage_router_requests_waiting", _VERSION, "20x15 20+2x40"),
        15,
        40,
        "requests wait for smol@1, and more come than go",
    ),
    Case(
        "StowageBreakerOpen",
        gauge("ray_stowage_router_breaker_state", f'{_VERSION},state="open"', "0x5 1x10"),
        5,
        8,
        "The circuit breaker of smol@1 is open",
    ),
    Case(
        "StowageRolloutRolledBack",
        gauge(
            "ray_stowage_rollout_state",
            f'{_SESSION},route="smol",old="smol@1",new="smol@2",state="rolled_back"',
            "0x5 1x10",
        ),
        5,
        7,
        "smol went back from smol@2 to smol@1",
    ),
    Case(
        "StowageBudgetNearlyUsed",
        gauge(
            "ray_stowage_router_limit_used_ratio",
            f'{_SESSION},scope="tenant",name="search",limit="tokens_per_day"',
            "0.5x5 0.95x20",
        )
        | gauge(
            "ray_stowage_router_limit_used_ratio",
            f'{_SESSION},scope="tenant",name="search",limit="requests_per_minute"',
            "1x25",
        ),
        5,
        14,
        "The tenant search has used 95% of its tokens_per_day",
    ),
)

BOOKS = (
    Case(
        "StowageStateDatabaseDown",
        gauge("ray_stowage_router_state_database_up", f'{_SESSION},WorkerId="1"', "1x20")
        | gauge("ray_stowage_router_state_database_up", f'{_SESSION},WorkerId="2"', "1x5 0x15"),
        6,
        10,
        "Requests go on with the limits that were leased",
    ),
    Case(
        "StowageJournalDown",
        gauge("ray_stowage_router_journal_up", _SESSION, "1x5 0x15"),
        5,
        8,
        "Records wait in memory",
    ),
    Case(
        "StowageJournalNotCounted",
        gauge("ray_stowage_router_uncounted_bytes", _SESSION, "1000x5 100000000x40"),
        15,
        25,
        "95.37MiB of the journal wait for the state database",
    ),
    Case(
        "StowageRecordsLost",
        gauge("ray_stowage_router_journal_lost_records_total", _SESSION, "0x5 3x20"),
        5,
        8,
        "requests of the last 15 minutes stand in no journal",
    ),
)

_APPLICATION = f'{_SESSION},application="smol@1",deployment="Model"'

SCALING = (
    Case(
        "StowageAtMostReplicasWithQueue",
        gauge("ray_stowage_scaling_wish", f'{_SESSION},application="smol@1"', "5x30")
        | gauge("ray_stowage_scaling_cause", f'{_SESSION},application="smol@1",cause="max_replicas"', "1x30")
        | gauge("ray_stowage_router_requests_waiting", _VERSION, "0x5 7x25"),
        8,
        14,
        "The load asks for 5 replicas of smol@1 beyond its most",
    ),
    Case(
        "StowageReplicasMissing",
        gauge("ray_serve_autoscaling_target_replicas", _APPLICATION, "2x60")
        | gauge("ray_serve_deployment_replica_healthy", f'{_APPLICATION},replica="r1"', "1x60")
        | gauge("ray_serve_deployment_replica_healthy", f'{_APPLICATION},replica="r2"', "1x5 0x55"),
        10,
        25,
        "smol@1 lacks 1 replicas",
    ),
    Case(
        "StowageNodesFail",
        gauge("autoscaler_recently_failed_nodes", f'{_SESSION},NodeType="gpu"', "0x5 2x20"),
        5,
        8,
        "2 nodes of type gpu have failed lately",
    ),
    Case(
        "StowageNodesDoNotCome",
        gauge("autoscaler_pending_nodes", f'{_SESSION},NodeType="gpu"', "0x5 1x40"),
        10,
        25,
        "1 nodes of type gpu have been asked for",
    ),
    Case(
        "StowageMetricsMissing",
        gauge("ray_stowage_model_status", f'{_VERSION},status="ready"', "1x5 _x40"),
        8,
        20,
        "No router has reported for 5 minutes",
    ),
    Case(
        "StowageScrapeFails",
        gauge("up", 'job="ray",instance="10.0.0.1:8080"', "1x5 0x20")
        | gauge("up", 'job="other",instance="10.0.0.1:9100"', "0x25"),
        6,
        10,
        "Prometheus does not reach 10.0.0.1:8080 of ray",
    ),
)

CASES = (*MEMORY, *MODELS, *TRAFFIC, *BOOKS, *SCALING)
