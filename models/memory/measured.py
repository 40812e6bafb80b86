"""Measured bytes beside planned ones: how far apart they are, when a replica is over its budget, by what. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from models.memory.terms import MemoryTerm

# A plan may be this much too low before a replica counts as over its budget: what plans are allowed to miss.
TOLERANCE = 0.02

# Terms whose memory comes and goes with the work. All others are there as soon as a replica is ready.
_WORK = frozenset({"attention", "activations", "logits", "margin"})


@dataclass(frozen=True, slots=True)
class Planned:
    """What one replica is planned at with what it hosts now: ``terms`` on its device, ``host_bytes`` beside a GPU.

    ``budget_bytes`` is what it may take of the device; ``owner`` is who is named when it takes more.
    """

    owner: str
    terms: tuple[MemoryTerm, ...]
    budget_bytes: int
    host_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """On the device."""
        return sum(term.bytes for term in self.terms)

    @property
    def kv_cache_bytes(self) -> int:
        """Of the KV cache; 0 for an engine without one."""
        return sum(term.bytes for term in self.terms if term.name == "kv_cache")


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a replica, in bytes on the device of its plan.

    ``high_bytes`` is the most since the look before it, at least ``total_bytes``. ``parts`` are what else was
    seen, by name; they need not add up. ``files`` are the resident bytes of each mapped weight file, by its path.
    """

    total_bytes: int
    high_bytes: int
    parts: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Compared:
    """Some terms of a plan, named together, beside what was measured of them."""

    name: str
    planned_bytes: int
    measured_bytes: int

    @property
    def excess_bytes(self) -> int:
        return self.measured_bytes - self.planned_bytes


@dataclass(frozen=True, slots=True)
class BudgetState:
    """``num_episodes`` counts how often it went over; ``has_fitted``: it was within its budget at least once."""

    over: bool = False
    num_episodes: int = 0
    has_fitted: bool = False


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """What one look found. ``peak_bytes`` is the most since the replica was ready.

    ``deviation`` is that of the most since what is planned has changed last: of a model by itself, of the peak.
    """

    planned: Planned
    reading: Reading
    peak_bytes: int
    deviation: float
    compared: tuple[Compared, ...]
    state: BudgetState


def judge(before: BudgetState, high_bytes: int, budget_bytes: int) -> BudgetState:
    """The state after one look: over beyond the budget and TOLERANCE, back within the budget itself."""
    over = high_bytes > budget_bytes * (1 if before.over else 1 + TOLERANCE)
    return replace(
        before,
        over=over,
        num_episodes=before.num_episodes + (over and not before.over),
        has_fitted=before.has_fitted or not over,
    )


def deviation(planned_bytes: int, measured_bytes: int) -> float:
    """Measured over planned, less one: 0.05 is 5% more than planned."""
    return measured_bytes / planned_bytes - 1


def compare(terms: Sequence[MemoryTerm], ready: Reading, now: Reading) -> tuple[Compared, ...]:
    """What was there when the replica was ``ready``, and what its work has added, each beside its terms.

    Mapped weights become resident when they are first read, so their growth counts as loaded, not as work.
    """
    mapped = "weights" if any(term.shared for term in terms) else ""
    grown = now.parts.get(mapped, 0) - ready.parts.get(mapped, 0)
    loaded_bytes = ready.total_bytes + grown
    return (
        _compared((term for term in terms if term.name not in _WORK), loaded_bytes),
        _compared((term for term in terms if term.name in _WORK), now.high_bytes - loaded_bytes),
    )


def compare_mapped(terms: Sequence[MemoryTerm], now: Reading) -> tuple[Compared, ...]:
    """The mapped weights, and all that is private, each beside its terms.

    Where models come and go this can be told at any time, and what is loaded from what is work cannot.
    """
    mapped_bytes = now.parts["weights"]
    return (
        _compared((term for term in terms if term.shared), mapped_bytes),
        _compared((term for term in terms if not term.shared), now.high_bytes - mapped_bytes),
    )


def at_fault(compared: Iterable[Compared]) -> Compared:
    """The terms that were exceeded most."""
    return max(compared, key=lambda each: each.excess_bytes)


def _compared(terms: Iterable[MemoryTerm], measured_bytes: int) -> Compared:
    chosen = tuple(terms)
    return Compared(
        " + ".join(term.name for term in chosen) or "work", sum(term.bytes for term in chosen), measured_bytes
    )
