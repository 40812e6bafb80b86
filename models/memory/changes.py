"""What would make a plan smaller: the alternatives that a refusal names. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from models.memory.account import scaled
from models.memory.sizing import Replica, count_field, largest
from models.memory.terms import ITEM_BYTES
from models.spec import Limits

_SMALLER_DTYPE = "bfloat16"


@dataclass(frozen=True, slots=True)
class Change:
    """Fields of a model's ``args`` and the largest values that fit, and what the replica needs with them."""

    settings: tuple[tuple[str, int | str], ...]
    total_bytes: int

    def __str__(self) -> str:
        return f"set {' and '.join(_setting(name, value) for name, value in self.settings)}"


def _setting(name: str, value: int | str) -> str:
    return f"{name} to {value}" + (" or less" if isinstance(value, int) and value > 1 else "")


def cheaper_changes(replica: Replica, limits: Limits, available_bytes: int) -> tuple[Change, ...]:
    """The changes that fit ``available_bytes``, the smallest sacrifice first; empty when there is none.

    ``limits`` are those of the plan, ``max_model_len`` included. In this order: a smaller budget where the limits
    fit without the room that the budget adds; fewer sequences; a shorter context; both; half the bytes of each
    weight. Fewer sequences make callers wait, a shorter context or other numbers change what they get.
    """
    if replica.total_bytes(limits) <= available_bytes:
        return (Change((("memory", available_bytes),), available_bytes),)
    found = tuple(_smaller_limits(replica, limits, available_bytes))
    return (*found, *_smaller_dtype(replica, limits, available_bytes, limits_suffice=bool(found)))


def _smaller_limits(replica: Replica, limits: Limits, available_bytes: int) -> Iterator[Change]:
    field = count_field(replica.engine)
    fewer = _largest_that_fits(replica, limits, available_bytes, field)
    if fewer is not None:
        yield _change(replica, limits, {field: fewer})
    shorter = _largest_that_fits(replica, limits, available_bytes, "max_model_len")
    if shorter is not None:
        yield _change(replica, limits, {"max_model_len": shorter})
    if fewer is None and shorter is None:
        one = limits.model_copy(update={field: 1})
        both = _largest_that_fits(replica, one, available_bytes, "max_model_len")
        if both is not None:
            yield _change(replica, limits, {field: 1, "max_model_len": both})


def _smaller_dtype(
    replica: Replica, limits: Limits, available_bytes: int, *, limits_suffice: bool
) -> Iterator[Change]:
    """As it is, or where no limits help otherwise, with smaller limits too."""
    halved = _in_smaller_dtype(replica)
    if halved is None:
        return
    setting = ("dtype", _SMALLER_DTYPE)
    total_bytes = halved.total_bytes(limits)
    if total_bytes <= available_bytes:
        yield Change((setting,), total_bytes)
    elif not limits_suffice:
        for change in _smaller_limits(halved, limits, available_bytes):
            yield Change((setting, *change.settings), change.total_bytes)


def _in_smaller_dtype(replica: Replica) -> Replica | None:
    """The same with weights of 2 bytes; None where they are no larger, or where the engine takes no other."""
    manifest = replica.manifest
    bytes_of_item = ITEM_BYTES.get(manifest.dtype, 0)
    if replica.engine == "onnx" or bytes_of_item <= ITEM_BYTES[_SMALLER_DTYPE]:
        return None
    ratio = Fraction(ITEM_BYTES[_SMALLER_DTYPE], bytes_of_item)
    smaller = {
        "dtype": _SMALLER_DTYPE,
        "weight_bytes": int(manifest.weight_bytes * ratio),
        "shared_weight_bytes": None,
        "weight_account": manifest.weight_account and scaled(manifest.weight_account, ratio),
    }
    return replace(replica, manifest=manifest.model_copy(update=smaller))


def _largest_that_fits(replica: Replica, limits: Limits, available_bytes: int, field: str) -> int | None:
    """The largest value of ``limits.<field>`` below its present one that fits; None if none does."""

    def fits(value: int) -> bool:
        return replica.total_bytes(limits.model_copy(update={field: value})) <= available_bytes

    present: int = getattr(limits, field)
    if present == 1 or not fits(1):
        return None
    return largest(1, present - 1, fits)


def _change(replica: Replica, limits: Limits, values: dict[str, int]) -> Change:
    settings = tuple((f"limits.{name}", value) for name, value in values.items())
    return Change(settings, replica.total_bytes(limits.model_copy(update=values)))
