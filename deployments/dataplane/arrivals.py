"""What each version is asked for at this router replica: how much waits, since when, and how much has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from deployments.scaling.demand import VersionDemand
from models.types import Usage, VersionId

# Before anything is known of a version: four bytes of English text are a token.
_BYTES_PER_TOKEN = 4.0
_PRIOR_BYTES = 1000.0
# Of what is known, what a new request leaves: about the last twenty decide.
_KEPT_SHARE = 0.95


class PromptSize:
    """How many tokens a prompt of one version is likely to have, learnt from those before it. Pure."""

    __slots__ = ("_bound", "_tokens")

    def __init__(self) -> None:
        self._bound = _PRIOR_BYTES
        self._tokens = _PRIOR_BYTES / _BYTES_PER_TOKEN

    def expect(self, bound: int) -> float:
        """Tokens of a prompt that has ``bound`` at the most: as many as it has bytes."""
        return bound * self._tokens / self._bound

    def learn(self, bound: int, tokens: int) -> None:
        """How many they were."""
        self._bound = _KEPT_SHARE * self._bound + bound
        self._tokens = _KEPT_SHARE * self._tokens + tokens


@dataclass(slots=True)
class _Ledger:
    """Of one version. ``waiting``: when each came, the oldest first."""

    size: PromptSize = field(default_factory=PromptSize)
    waiting: dict[Arrived, float] = field(default_factory=dict)
    num_waking: int = 0
    waiting_tokens: float = 0.0
    num_under_way: int = 0
    num_arrived: int = 0
    arrived_tokens: float = 0.0


@dataclass(eq=False, slots=True)
class Arrived:
    """One request that is here. It may ``wake`` a version until that ``be_up``; ``enter`` when it waits no longer;
    ``leave``, once, at its end, whatever that is."""

    _ledger: _Ledger
    _bound: int
    _tokens: float
    _is_waking: bool = False
    _has_entered: bool = False

    def wake(self) -> None:
        """It waits for a replica to be up."""
        if not self._is_waking:
            self._is_waking = True
            self._ledger.num_waking += 1

    def be_up(self) -> None:
        """And now one is."""
        if self._is_waking:
            self._is_waking = False
            self._ledger.num_waking -= 1

    def enter(self) -> None:
        """It is on its way to a replica."""
        self._stop_waiting()
        self._has_entered = True
        self._ledger.num_under_way += 1

    def learn(self, prompt_tokens: int) -> None:
        """Its prompt had so many tokens; 0 where no replica has told."""
        if prompt_tokens:
            self._ledger.size.learn(self._bound, prompt_tokens)

    def leave(self) -> None:
        """It is over."""
        if self._has_entered:
            self._ledger.num_under_way -= 1
        else:
            self._stop_waiting()

    def _stop_waiting(self) -> None:
        self.be_up()
        ledger = self._ledger
        del ledger.waiting[self]
        ledger.waiting_tokens = ledger.waiting_tokens - self._tokens if ledger.waiting else 0.0


class Arrivals:
    """Of all versions; a request costs a few microseconds. ``clock`` gives seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ledgers: dict[VersionId, _Ledger] = {}

    def come(self, version: VersionId, most: Usage) -> Arrived:
        """A request for ``version`` that takes ``most`` at the most has come, and waits."""
        ledger = self._ledgers.get(version)
        if ledger is None:
            ledger = self._ledgers[version] = _Ledger()
        bound = most.prompt_tokens
        tokens = ledger.size.expect(bound)
        arrived = Arrived(ledger, bound, tokens)
        ledger.waiting[arrived] = self._clock()
        ledger.waiting_tokens += tokens
        ledger.num_arrived += 1
        ledger.arrived_tokens += tokens
        return arrived

    def demand(self) -> dict[str, VersionDemand]:
        """Of every version that was ever asked for here."""
        now = self._clock()
        return {str(version): _demand(ledger, now) for version, ledger in self._ledgers.items()}


def _demand(ledger: _Ledger, now: float) -> VersionDemand:
    oldest = next(iter(ledger.waiting.values()), now)
    return VersionDemand(
        num_waiting=len(ledger.waiting),
        num_waking=ledger.num_waking,
        waiting_tokens=ledger.waiting_tokens,
        oldest_wait_s=now - oldest,
        num_under_way=ledger.num_under_way,
        num_arrived=ledger.num_arrived,
        arrived_tokens=ledger.arrived_tokens,
    )
