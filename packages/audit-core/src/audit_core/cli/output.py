"""What a command prints: for a terminal, for a pipe, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from audit_core.exporting.json import dump

from .cutting import cut

_GAP = "  "
_INDENT = "    "
# A longer value moves what stands behind it, so that the others need not be so wide.
_WIDEST = 40
_STYLED = ("verb", "step")
_STYLES = {
    "insert": "green",
    "update": "yellow",
    "delete": "red",
    "truncate": "red",
    "bypass": "magenta",
    "maintenance": "magenta",
}
#: Of a line of a difference, by what it begins with.
_LINE_STYLES = {"- ": "red", "+ ": "green"}
_REMOVED, _ADDED = r"\[-.*?-\]", r"\{\+.*?\+\}"


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


def print_pairs(pairs: Mapping[str, Any], full: bool = False) -> None:
    """Print names and values, one pair a line."""
    listing = Listing("", "", heading=False, full=full)
    listing.add([name, listing.fitted(value_text(value))] for name, value in pairs.items())


class Listing:
    """Rows under column names, added bit by bit.

    The last cell of a row may be several texts: a terminal shows them below the row, a pipe gets all in one line, for
    what filters lines. A terminal gets long values cut, a pipe everything.

    :param full: cut nothing.
    :param below: show the several texts below the row in a pipe, too.
    """

    def __init__(
        self, *columns: str, heading: bool = True, right: Iterable[str] = (), full: bool = False, below: bool = False
    ) -> None:
        self._columns = columns
        self._heading = heading
        self._right = [name in right for name in columns]
        self._styled = [name in _STYLED for name in columns]
        self._widths = [0] * len(columns)
        self._console = Console(highlight=False, markup=False, emoji=False)
        self.is_cut = self._console.is_terminal and not full
        self.is_below = below

    def fitted(self, text: str, widest: int | None = None) -> str:
        """Cut a value, where values are cut."""
        if not self.is_cut:
            return text
        return cut(text) if widest is None else cut(text, widest)

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
        for cell, width, is_right, is_styled in zip(row, self._widths, self._right, self._styled, strict=True):
            if isinstance(cell, list):
                if self._console.is_terminal or self.is_below:
                    below = cell
                    continue
                cell = "; ".join(cell)
            padding = " " * (width - cell_len(cell))
            line.append(padding if is_right else "").append(cell, _STYLES.get(cell, "") if is_styled else "")
            line.append(("" if is_right else padding) + _GAP)
        self._write(line)
        for each in below:
            self._write(_difference(each) if self.is_below else Text(_INDENT + each))

    def _write(self, line: Text) -> None:
        line.rstrip()
        if self._console.is_terminal:
            # The terminal wraps, so that what is selected there has no breaks in it.
            self._console.print(line, soft_wrap=True)
        else:
            click.echo(line.plain)


def _difference(line: str) -> Text:
    text = Text(_INDENT).append(line, _LINE_STYLES.get(line[:2], ""))
    text.highlight_regex(_REMOVED, "red")
    text.highlight_regex(_ADDED, "green")
    return text


def _printable(cell: str | list[str]) -> str | list[str]:
    return printable(cell) if isinstance(cell, str) else list(map(printable, cell))
