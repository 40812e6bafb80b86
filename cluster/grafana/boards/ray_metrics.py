"""Metrics of Ray's own that the dashboards use, by their names in Ray 2.60."""

from __future__ import annotations

from cluster.grafana.promql import Foreign

_SERVE = ("application", "deployment")
_NODE = ("IsHeadNode", "RayNodeType", "instance")

NODE_MEMORY = Foreign("ray_node_mem_total", _NODE)
NODE_MEMORY_USED = Foreign("ray_node_mem_used", _NODE)
GPU_MEMORY_USED = Foreign("ray_node_gram_used", (*_NODE, "GpuIndex"))

TARGET_REPLICAS = Foreign("ray_serve_autoscaling_target_replicas", _SERVE)
HEALTHY_REPLICAS = Foreign("ray_serve_deployment_replica_healthy", _SERVE)

ACTIVE_NODES = Foreign("autoscaler_active_nodes", ("NodeType",))
PENDING_NODES = Foreign("autoscaler_pending_nodes", ("NodeType",))
FAILED_NODES = Foreign("autoscaler_recently_failed_nodes", ("NodeType",))
