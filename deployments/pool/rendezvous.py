"""Which replica of a pool serves a model: rendezvous hashing with bounded loads. Pure.

Every router ranks the replicas of a model in the same order without being told, and a new replica moves only the
models that rank it first (Thaler and Ravishankar, "A name-based mapping scheme for rendezvous", 1996). A replica
with more than its share of the requests is passed over (Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing
with bounded loads", 2018), so a hot model spreads and the others stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from math import ceil

LOAD_FACTOR = 1.25


def rank(model: str, replicas: Sequence[str]) -> list[str]:
    """``replicas`` as ``model`` prefers them: the same order in every process."""
    return sorted(replicas, key=lambda replica: _weight(model, replica), reverse=True)


def choose(ranked: Sequence[str], loads: Mapping[str, int], spread_above: int) -> list[str]:
    """The replicas to try, in order: those that may take one more request, then the others.

    ``loads`` are the requests that each replica has now. One may have LOAD_FACTOR times the mean with the new
    request, and ``spread_above`` in any case: a second copy of a model costs more than a short queue.
    """
    total = sum(loads.get(replica, 0) for replica in ranked) + 1
    bound = max(spread_above, ceil(LOAD_FACTOR * total / len(ranked))) if ranked else 0
    return sorted(ranked, key=lambda replica: loads.get(replica, 0) >= bound)


def _weight(model: str, replica: str) -> bytes:
    return blake2b(f"{model}\0{replica}".encode(), digest_size=8).digest()
