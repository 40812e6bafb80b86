"""Ray Serve's request router for pools. It runs in every process that calls a pool, so it imports next to nothing.

Serve's own ConsistentHashRouter leaves the first replica only when that refuses: one hot model would fill a
replica, for all of its models, before any other helped.
"""

from __future__ import annotations

from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

from deployments.pool.rendezvous import choose, rank


class PoolRequestRouter(RequestRouter):
    """Sends a model's requests to the first replica in its order that has no more than its share of the load.

    ``request_router_kwargs``: ``spread_above``, the requests up to which a replica always takes one more.
    """

    def initialize_state(self, **kwargs: int) -> None:
        self._spread_above = kwargs["spread_above"]

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Each rank is one replica: Serve goes on to the next where one refuses."""
        if pending_request is None:
            return [candidate_replicas]
        pending_request.routing_context.should_backoff = True
        replicas = {each.replica_id.unique_id: each for each in candidate_replicas}
        loads = {name: self.replica_queue_len_cache.get(each.replica_id) or 0 for name, each in replicas.items()}
        metadata = pending_request.metadata
        # A call for no model, as for the pool's statistics, goes to any replica.
        ranked = rank(metadata.multiplexed_model_id or metadata.internal_request_id, list(replicas))
        return [[replicas[name]] for name in choose(ranked, loads, self._spread_above)]
