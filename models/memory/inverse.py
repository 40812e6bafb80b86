"""The planner's inverse: from a budget in bytes to the largest limits that it holds. Pure."""

from __future__ import annotations

from models.errors import DoesNotFitError
from models.memory.changes import cheaper_changes
from models.memory.sizing import Replica, count_field, largest
from models.spec import MAX_BATCH_SIZE, MAX_NUM_SEQS, Limits


def limits_within(replica: Replica, limits: Limits, budget_bytes: int) -> Limits:
    """The largest limits that ``budget_bytes`` hold; those that the operator set stay.

    First the length: what the model was trained for, or where not even one sequence (one input) of it fits, the
    longest of which one does. Then the number: as many of that length as fit, up to the field's maximum; of
    sequences no more than ``max_batch_tokens``, since each takes one token of every step.
    DoesNotFitError when nothing fits, or when the limits that were set need more.
    """
    wanted = limits.model_copy(update={"max_model_len": replica.model_len(limits)})
    field = count_field(replica.engine)
    if field not in limits.model_fields_set:
        wanted = wanted.model_copy(update={field: 1})
    if limits.max_model_len is None:
        wanted = _longest(replica, wanted, budget_bytes)
    if replica.total_bytes(wanted) > budget_bytes:
        raise _too_small(replica, wanted, budget_bytes)
    return wanted if field in limits.model_fields_set else _most(replica, wanted, limits, budget_bytes)


def pages_within(replica: Replica, limits: Limits, budget_bytes: int) -> int:
    """Pages of the KV cache when it takes all that ``limits`` leave of the budget; 0 without a KV cache."""
    layout = replica.layout(limits)
    if layout is None:
        return 0

    def fits(num_sectors: int) -> bool:
        return replica.total_bytes(limits, layout.num_pages(num_sectors)) <= budget_bytes

    needed = layout.num_sectors(replica.num_pages(limits))
    return layout.num_pages(largest(needed, needed + budget_bytes // layout.sector_bytes, fits))


def _longest(replica: Replica, limits: Limits, budget_bytes: int) -> Limits:
    def of(length: int) -> Limits:
        return limits.model_copy(update={"max_model_len": length})

    def fits(length: int) -> bool:
        return replica.total_bytes(of(length)) <= budget_bytes

    return of(largest(1, replica.model_len(limits), fits))


def _most(replica: Replica, limits: Limits, given: Limits, budget_bytes: int) -> Limits:
    """``given`` has the default, for a model whose bytes do not tell how many inputs it takes at once."""
    field = count_field(replica.engine)
    most = min(MAX_NUM_SEQS, limits.max_batch_tokens) if field == "max_num_seqs" else MAX_BATCH_SIZE

    def of(number: int) -> Limits:
        return limits.model_copy(update={field: number})

    if replica.total_bytes(of(most)) == replica.total_bytes(limits):
        return of(getattr(given, field))
    return of(largest(1, most, lambda number: replica.total_bytes(of(number)) <= budget_bytes))


def _too_small(replica: Replica, limits: Limits, budget_bytes: int) -> DoesNotFitError:
    field = count_field(replica.engine)
    needed = replica.total_bytes(limits)
    changes = cheaper_changes(replica, limits, budget_bytes)
    return DoesNotFitError(
        f"memory of {replica.manifest.id} is {budget_bytes:,} B, but limits.{field} {getattr(limits, field)} and "
        f"limits.max_model_len {limits.max_model_len} need {needed:,} B",
        remedy=" or ".join([f"set memory to {needed} or more", *(str(change) for change in changes[:1])]),
    )
