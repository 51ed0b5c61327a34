"""What a command prints: for a terminal, for a pipe, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from .json import dump

_GAP = "  "
_INDENT = "    "
# A longer value moves what stands behind it, so that the others need not be so wide.
_WIDEST = 40
_STYLES = {
    "insert": "green",
    "update": "yellow",
    "delete": "red",
    "truncate": "red",
    "bypass": "magenta",
    "maintenance": "magenta",
}


def printable(text: str) -> str:
    """Write out what is not printable, such as a newline or an escape sequence."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def value_text(value: Any) -> str:
    """Show a value; a text stands without quotes."""
    is_json = value is None or isinstance(value, (bool, float, dict, list))
    return printable(dump(value) if is_json else str(value))


def print_json(value: Any) -> None:
    """Print one line of JSON at once."""
    click.echo(dump(value))


def print_pairs(pairs: Mapping[str, Any]) -> None:
    """Print names and values, one pair a line."""
    listing = Listing("", "", heading=False)
    listing.add([name, value_text(value)] for name, value in pairs.items())


class Listing:
    """Rows under column names, added bit by bit.

    Nothing is cut. The last cell of a row may be several texts: a terminal shows them below the row, a pipe gets
    all in one line, for what filters lines.
    """

    def __init__(self, *columns: str, heading: bool = True, right: Iterable[str] = ()) -> None:
        self._columns = columns
        self._heading = heading
        self._right = [name in right for name in columns]
        self._widths = [0] * len(columns)
        self._console = Console(highlight=False, markup=False, emoji=False)

    def add(self, rows: Iterable[Sequence[str | list[str]]]) -> None:
        """Print more rows; the columns stay as wide as they were."""
        added = [[_printable(cell) for cell in row] for row in rows]
        if added and self._heading:
            self._heading = False
            added.insert(0, list(self._columns))
            self._widen(added)
            self._print(added.pop(0), style="bold")
        self._widen(added)
        for row in added:
            self._print(row)

    def _widen(self, rows: list[list[str | list[str]]]) -> None:
        for row in rows:
            for number, cell in enumerate(row):
                if isinstance(cell, str):
                    self._widths[number] = max(self._widths[number], min(cell_len(cell), _WIDEST))

    def _print(self, row: list[str | list[str]], style: str = "") -> None:
        below: list[str] = []
        line = Text(style=style)
        for cell, width, is_right in zip(row, self._widths, self._right, strict=True):
            if isinstance(cell, list):
                if self._console.is_terminal:
                    below = cell
                    continue
                cell = "; ".join(cell)
            padding = " " * (width - cell_len(cell))
            line.append(padding if is_right else "").append(cell, _STYLES.get(cell, ""))
            line.append(("" if is_right else padding) + _GAP)
        self._write(line)
        for each in below:
            self._write(Text(_INDENT + each))

    def _write(self, line: Text) -> None:
        line.rstrip()
        if self._console.is_terminal:
            # The terminal wraps, so that what is selected there has no breaks in it.
            self._console.print(line, soft_wrap=True)
        else:
            click.echo(line.plain)


def _printable(cell: str | list[str]) -> str | list[str]:
    return printable(cell) if isinstance(cell, str) else list(map(printable, cell))
