"""What is reported: figures in tables, and what was aimed at."""

import statistics
from collections.abc import Iterable

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """The median over the rounds, and the range."""

    median: float
    low: float
    high: float
    digits: int = 1

    @classmethod
    def of(cls, values: Iterable[float], digits: int = 1) -> "Figure":
        values = sorted(values)
        return cls(statistics.median(values), values[0], values[-1], digits)

    def text(self) -> str:
        median, low, high = (f"{value:,.{self.digits}f}" for value in (self.median, self.low, self.high))
        return median if low == high else f"{median} ({low} to {high})"


Cell = Figure | str


class Table(msgspec.Struct):
    """One measure: a row for each contestant, or whatever else it tells apart."""

    key: str
    title: str
    rows: dict[str, dict[str, Cell]]
    """By name, then by column."""
    notes: list[str] = []

    def text(self) -> str:
        columns = list(dict.fromkeys(column for row in self.rows.values() for column in row))
        lines = [["", *columns]]
        lines += [[name, *(_text(row.get(column, "")) for column in columns)] for name, row in self.rows.items()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([self.title, *(f"  {line}".rstrip() for line in table), *(f"  {note}" for note in self.notes)])


class Verdict(msgspec.Struct):
    """An aim, what came of it, and whether that meets it; None if there was nothing to compare with."""

    aim: str
    measured: str
    met: bool | None

    @classmethod
    def at_most(cls, aim: str, value: float, bound: float, unit: str = "", digits: int = 2) -> "Verdict":
        return cls(f"{aim} <= {bound:g}{unit}", f"{value:,.{digits}f}{unit}", value <= bound)

    @classmethod
    def at_least(cls, aim: str, value: float, bound: float, unit: str = "", digits: int = 0) -> "Verdict":
        return cls(f"{aim} >= {bound:,g}{unit}", f"{value:,.{digits}f}{unit}", value >= bound)

    def text(self) -> str:
        met = {True: "met", False: "MISSED", None: "open"}[self.met]
        return f"  {met:<7} {self.aim}: {self.measured}"


class Outcome(msgspec.Struct):
    """What a measure found. ``problems`` are what may not be: answers that broke off, tokens that were lost."""

    table: Table
    verdicts: list[Verdict] = []
    problems: list[str] = []


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell.text()
