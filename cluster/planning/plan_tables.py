"""A plan as tables for people: what each model takes, term by term, and where its replicas go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cluster.planning.palette import Mark
from cluster.planning.planned import ClusterPlan, PlannedModel, PlannedPool
from cluster.terminal.render import make_table
from deployments.reservation import Reservation
from models.memory.group_plan import RankPlan
from models.memory.plan import MemoryPlan, format_bytes
from models.placement.slots import CPU, Slot

_NOTHING = "-"
_NOWHERE = "nowhere"
_ANY_WIDTH = 10_000


def print_plan(console: Console, planned: ClusterPlan, marks: Mapping[str, Mark]) -> None:
    """Two tables, or where they are too wide for the terminal, a paragraph for each model.

    The marks make either the legend of the picture.
    """
    terms = _terms_table(planned)
    if console.measure(terms, options=console.options.update(max_width=_ANY_WIDTH)).maximum > console.width:
        for each in planned.everything:
            console.print(Text.assemble(_key(marks[each.name]), "  ", (each.name, "bold")))
            console.print(Padding("\n".join(_paragraph(planned, each)), (0, 0, 0, 5)))
        return
    console.print(terms)
    console.print()
    console.print(_places_table(planned, marks))


def _key(mark: Mark) -> Text:
    return Text(f" {mark.key} ", f"#000000 on {mark.colour}")


def _terms_table(planned: ClusterPlan) -> Table:
    plans = [plan for model in planned.models for plan in _processes(model)]
    terms = list(dict.fromkeys(term.name for plan in plans for term in plan.terms))
    beside = ["node memory"] if any(plan.host_terms for plan in plans) else []
    columns = ("model", "engine", *terms, "total", *beside)
    rows = [row for model in planned.models for row in _terms_rows(model, columns[2:])]
    rows += [_pool_row(pool, columns[2:]) for pool in planned.pools]
    return make_table(columns, rows, right=columns[2:])


def _terms_rows(model: PlannedModel, columns: Sequence[str]) -> Iterator[Sequence[str]]:
    """One, or one for each rank of a group."""
    if model.plan is None:
        yield (model.name, *[_NOTHING] * (len(columns) + 1))
    for plan in _processes(model):
        sizes = {term.name: term.bytes for term in plan.terms} | {"total": plan.total_bytes}
        if plan.host_terms:
            sizes["node memory"] = plan.host_bytes
        name, what = model.name, model.plan.engine if model.plan else _NOTHING
        if isinstance(plan, RankPlan):
            name, what = f"{name} rank {plan.rank}", str(plan.shard)
        yield (name, what, *_figures(sizes, columns))


def _processes(model: PlannedModel) -> Sequence[MemoryPlan | RankPlan]:
    """What has terms of its own."""
    if model.plan is None:
        return ()
    return model.plan.group.ranks if model.plan.group else (model.plan,)


def _pool_row(pool: PlannedPool, columns: Sequence[str]) -> Sequence[str]:
    sizes = {"total": pool.budget_bytes}
    if pool.plan:
        sizes |= {"runtime": pool.plan.runtime_bytes, "tokenizer": pool.plan.tokenizer_bytes}
    return (pool.name, f"pool of {len(pool.pool.models)}", *_figures(sizes, columns))


def _figures(sizes: Mapping[str, int], columns: Sequence[str]) -> Iterable[str]:
    return (format_bytes(sizes[column]) if column in sizes else _NOTHING for column in columns)


def _places_table(planned: ClusterPlan, marks: Mapping[str, Mark]) -> Table:
    columns = ("", "model", "device", "budget", "reserves per replica", "ranks", "replicas", "where")
    rows: list[Sequence[str | Text]] = [
        (_key(marks[each.name]), each.name, *_place_cells(planned, each)) for each in planned.everything
    ]
    return make_table(columns, rows, right=("budget", "ranks", "replicas"))


def _place_cells(planned: ClusterPlan, each: PlannedModel | PlannedPool) -> Sequence[str]:
    if isinstance(each, PlannedPool):
        budget = format_bytes(each.budget_bytes)
        return (CPU, budget, f"memory {budget}", "1", str(each.num_replicas), _where(planned, each))
    if each.plan is None:
        return (*[_NOTHING] * 4, _replicas(each), _where(planned, each))
    budget, reserved = _budget(each.plan), format_reservation(each.reservation)
    return (each.device, budget, reserved, str(each.num_ranks), _replicas(each), _where(planned, each))


def _replicas(model: PlannedModel) -> str:
    low_to_high = str(model.model.replicas)
    return low_to_high if low_to_high == str(model.num_replicas) else f"{model.num_replicas} of {low_to_high}"


def _budget(plan: MemoryPlan) -> str:
    """With its share of a GPU: nodes have memory of many sizes, GPUs of one kind have one."""
    if plan.device.kind == CPU:
        return format_bytes(plan.budget_bytes)
    return f"{format_bytes(plan.budget_bytes)} ({plan.budget_bytes / plan.device.usable_bytes:.0%})"


def format_reservation(reservation: Reservation | None) -> str:
    """``num_gpus 0.2500, memory 1.5 GiB``."""
    if reservation is None:
        return _NOTHING
    memory = f"memory {format_bytes(reservation.memory_bytes)}"
    return f"num_gpus {reservation.num_gpus:.4f}, {memory}" if reservation.num_gpus else memory


def _where(planned: ClusterPlan, each: PlannedModel | PlannedPool) -> str:
    if each.problem:
        return _NOWHERE
    if each.num_replicas == 0:
        slots = planned.waking.get(each.name)
        return f"asleep; wakes on {_format_replicas(each, slots)}" if slots else "asleep; no room to wake now"
    return _format_replicas(each, planned.places(each))


def _format_replicas(each: PlannedModel | PlannedPool, slots: Sequence[Slot | None]) -> str:
    """``gpu-0/1, gpu-1/2``; of groups ``ranks 0-1 gpu-0/0+1, ranks 2-3 gpu-1/0+1; 2 x ...``."""
    if each.num_ranks == 1:
        return format_places(slots)
    in_part = each.num_ranks // each.num_parts
    replicas = Counter(
        ", ".join(
            f"{_ranks(part * in_part, in_part)} {slot or _NOWHERE}"
            for part, slot in enumerate(slots[start : start + each.num_parts])
        )
        for start in range(0, len(slots), each.num_parts)
    )
    return "; ".join(text if count == 1 else f"{count} x {text}" for text, count in replicas.items())


def _ranks(first: int, number: int) -> str:
    return f"rank {first}" if number == 1 else f"ranks {first}-{first + number - 1}"


def format_places(slots: Iterable[Slot | None]) -> str:
    """``gpu-0/1, gpu-1/0+1, 3 x cpu-0, nowhere``."""
    counts = Counter(str(slot) if slot else _NOWHERE for slot in slots)
    return ", ".join(text if count == 1 else f"{count} x {text}" for text, count in counts.items()) or _NOTHING


def _paragraph(planned: ClusterPlan, each: PlannedModel | PlannedPool) -> Iterator[str]:
    """What the two tables say of it."""
    device, budget, reserved, ranks, replicas, where = _place_cells(planned, each)
    if each.plan is not None:
        yield f"{budget} of {device}{_sum(each)}"
        yield f"reserves per replica: {reserved}; ranks: {ranks}"
    yield f"replicas: {replicas}; where: {where}"


def _sum(each: PlannedModel | PlannedPool) -> str:
    """Of a group, that of the rank with most."""
    terms = each.plan.terms if isinstance(each, PlannedModel) and each.plan else ()
    return f" = {' + '.join(f'{term.name} {format_bytes(term.bytes)}' for term in terms)}" if terms else ""
