"""The nouns of a dashboard, as Grafana uses them. Pure data: what becomes of it in JSON is known by ``sdk``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

MAX_UID_LENGTH = 40  # Grafana's


class Kind(StrEnum):
    """The plugin that draws a panel, by Grafana's name for it."""

    LINES = "timeseries"
    STAT = "stat"
    TABLE = "table"
    STATES = "state-timeline"
    HEATMAP = "heatmap"


class Colour(StrEnum):
    """Of a threshold or a mapped value, by Grafana's name for it."""

    GREEN = "green"
    BLUE = "blue"
    YELLOW = "yellow"
    ORANGE = "orange"
    RED = "red"
    GREY = "text"


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression; ``legend`` is Grafana's template for its series' names, of a table the column."""

    expr: str
    legend: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Threshold:
    """From ``value`` on, in the panel's unit, this colour; below the first all is green."""

    value: float
    colour: Colour


@dataclass(frozen=True, slots=True)
class Shown:
    """How a value that stands for a state is shown."""

    text: str
    colour: Colour


@dataclass(frozen=True, slots=True)
class Link:
    """Where a click on a value leads; the address may name the value's labels."""

    title: str
    url: str
    elsewhere: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """``needs``: what there has to be before it has data, empty for what any load brings.

    ``width`` of 24 columns, ``height`` in Grafana's rows of 30 pixels.
    """

    kind: Kind = Kind.LINES
    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str = "short"
    links: tuple[Link, ...]
    thresholds: tuple[Threshold, ...] = ()
    states: Mapping[int, Shown] = field(default_factory=dict)
    highest: float | None = None
    stacked: bool = False
    width: int = 8
    height: int = 8
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of the dashboard: the values of ``label`` that ``series`` has."""

    name: str
    label: str
    series: str
    several: bool = True


@dataclass(frozen=True, slots=True)
class Annotation:
    """A mark on the time axis wherever ``expr`` has a value above 0."""

    name: str
    expr: str
    text: str
    colour: Colour


@dataclass(frozen=True, slots=True)
class Dashboard:
    """``uid`` is for good: bookmarks and other dashboards lead to it."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    annotations: tuple[Annotation, ...] = ()

    def panels(self) -> Iterator[Panel]:
        """All of them, in the order in which they are numbered."""
        for row in self.rows:
            yield from row.panels
