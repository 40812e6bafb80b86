"""What the leader of a group writes of it, for the groups and routers that come after, and as metrics."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

import ray
from ray import serve
from ray.serve._private.constants import SERVE_NAMESPACE

from deployments.group.record import GroupFailure, GroupRecords
from deployments.live import live_application
from deployments.metrics.group import GroupMetrics, RankPlace
from deployments.metrics.replica import this_replica
from deployments.routing.states import ApplicationView

logger = logging.getLogger("ray.serve")

# Serve waits 20 s for the requests of a group that it has asked to end, and then kills it.
_PERIOD_S = 5.0


class Diary:
    """Of one group: a line in the ``records`` of its application, by the id that Serve knows its ``replica`` by.

    A replica that Serve asks to end hears of it only when its last request is answered, and is killed where that
    takes too long. So a thread asks every ``period_s`` whether this one ``is_asked_to_end``: one that then goes
    without a word has not failed. Limits: one that is killed before that was seen counts as failed, and one that
    Serve stops because its health checks go unanswered does not.
    """

    def __init__(
        self,
        replica: str,
        records: GroupRecords,
        metrics: GroupMetrics,
        is_there: Callable[[str], bool],
        is_asked_to_end: Callable[[], bool],
        period_s: float = _PERIOD_S,
    ) -> None:
        self._replica = replica
        self._records = records
        self._metrics = metrics
        self._is_there = is_there
        self._is_asked_to_end = is_asked_to_end
        self._period_s = period_s
        self._line = threading.Lock()  # it is read and written anew
        self._done = threading.Event()

    def begin(self) -> GroupFailure | None:
        """The group starts; what the last one that failed has failed of."""
        self._records.settle(self._is_there)
        self._records.open(self._replica)
        before = self._records.last_failure()
        self._metrics.start(before.cause if before else None, self._records.counts())
        # Not on the group's watch, nor on that of its memory: the store and Serve may let it wait.
        threading.Thread(target=self._run, name="group-diary", daemon=True).start()
        return before

    def serve(self, ranks: Sequence[RankPlace]) -> None:
        """The group serves."""
        with self._line:
            self._records.serve(self._replica)
        self._metrics.serve(ranks)

    def look(self) -> None:
        """Once: how many groups have failed by now, and whether this one is to end."""
        self._metrics.count(self._records.counts())
        if self._is_asked_to_end():
            with self._line:
                self._records.leave(self._replica)

    def fail(self, failure: GroupFailure) -> None:
        with self._line:
            self._records.fail(self._replica, failure)

    def end(self) -> None:
        """In order."""
        self._done.set()
        with self._line:
            self._records.close(self._replica)
        self._metrics.close()

    def _run(self) -> None:
        while not self._done.wait(self._period_s):
            try:
                self.look()
            except Exception:
                logger.exception("The records of the groups could not be kept up; trying again.")


def this_diary() -> Diary:
    """Of the replica in which this is called."""
    context, replica = serve.get_replica_context(), this_replica()
    return Diary(
        context.replica_id.to_full_id_str(),
        GroupRecords(context.app_name),
        GroupMetrics(replica),
        _is_there,
        lambda: is_asked_to_end(live_application(replica.application), replica.replica),
    )


def is_asked_to_end(view: ApplicationView | None, replica: str) -> bool:
    """Whether Serve stops this replica of the application, or all of it.

    False where Serve does not tell: of an application whose update it builds, or has refused.
    """
    if view is None:
        return False
    states = {each.id: each.state for each in view.replicas}
    return view.status == "DELETING" or states.get(replica) == "STOPPING"


def _is_there(replica: str) -> bool:
    try:
        ray.get_actor(replica, namespace=SERVE_NAMESPACE)
    except ValueError:
        return False
    return True
