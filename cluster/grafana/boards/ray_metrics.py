"""Metrics of Ray's own that the dashboards use, by their names in Ray 2.60."""

from __future__ import annotations

from cluster.grafana.promql import Foreign

_SERVE = ("application", "deployment")
_NODE = ("IsHeadNode", "RayNodeType", "instance")

NODE_MEMORY = Foreign("ray_node_mem_total", _NODE)
NODE_MEMORY_USED = Foreign("ray_node_mem_used", _NODE)
GPU_MEMORY_USED = Foreign("ray_node_gram_used", (*_NODE, "GpuIndex"))

TARGET_REPLICAS = Foreign("ray_serve_autoscaling_target_replicas", _SERVE)
DESIRED_REPLICAS = Foreign("ray_serve_autoscaling_desired_replicas", _SERVE)
AUTOSCALED_REQUESTS = Foreign("ray_serve_autoscaling_total_requests", _SERVE)
HEALTHY_REPLICAS = Foreign("ray_serve_deployment_replica_healthy", _SERVE)
HEALTH_CHECK_FAILURES = Foreign("ray_serve_health_check_failures_total", _SERVE)
REPLICA_STARTUP = Foreign("ray_serve_replica_startup_latency_ms", _SERVE)
REPLICA_STARTS = Foreign("ray_serve_deployment_replica_starts_total", _SERVE)

ACTIVE_NODES = Foreign("autoscaler_active_nodes", ("NodeType",))
PENDING_NODES = Foreign("autoscaler_pending_nodes", ("NodeType",))
FAILED_NODES = Foreign("autoscaler_recently_failed_nodes", ("NodeType",))
