"""The report of ``verify``: what was found, line by line as it is found, and as one page for an auditor."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from html import escape
from importlib.metadata import version
from typing import Any, Protocol

import click

from .output import print_json, printable

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c1c1c}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;"
    "vertical-align:top}.failure{color:#a40000;font-weight:600}.fine{color:#116329}"
    "@media(prefers-color-scheme:dark){body{background:#151515;color:#e6e6e6}td,th{border-color:#444}"
    ".failure{color:#ff8a80}.fine{color:#7bd88f}}@media print{body{margin:0;max-width:none}}"
)


class _Finding(Protocol):
    @property
    def kind(self) -> str: ...

    @property
    def message(self) -> str: ...

    @property
    def is_failure(self) -> bool: ...


@dataclass
class Section:
    """One part of the report."""

    name: str
    #: What it says if nothing failed.
    fine: str
    findings: list[Any] = field(default_factory=list)
    #: How many failures there are; not all need be among the findings.
    failures: int = 0


#: Of each kind that is not a failure, so many are shown, and then their number: an erasure can be of thousands of rows.
_SHOWN = 20
#: A page with more failures is of no use; all of them are printed.
_MOST = 10_000


@dataclass(frozen=True)
class _More:
    """Stands for those that are not shown."""

    kind: str
    message: str
    is_failure: bool = False


class Report:
    """All sections, in order."""

    def __init__(self, database: str, schema: str) -> None:
        self.sections: list[Section] = []
        self.failures = 0
        self._database = database
        self._schema = schema

    def add(self, section: Section, findings: Iterable[_Finding], as_json: bool) -> None:
        """Print what is found, as it is found."""
        self.sections.append(section)
        counts: Counter[str] = Counter()
        for finding in findings:
            self.failures += finding.is_failure
            section.failures += finding.is_failure
            counts[finding.kind] += not finding.is_failure
            is_shown = finding.is_failure or counts[finding.kind] <= _SHOWN
            if is_shown and len(section.findings) < _MOST:
                section.findings.append(finding)
            if as_json:
                said: Any = asdict(finding)  # type: ignore[call-overload]
                print_json({**said, "is_failure": finding.is_failure})
            elif is_shown:
                _print(finding)
        for kind, count in counts.items():
            if count > _SHOWN:
                more = _More(kind, f"{count - _SHOWN:,} more; --json lists all.")
                section.findings.append(more)
                if not as_json:
                    _print(more)

    def html(self) -> str:
        """Return it as one page that needs nothing else."""
        now = dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")
        parts = [
            "<!doctype html><html lang=en><meta charset=utf-8>",
            "<meta name=viewport content='width=device-width'>",
            f"<title>Verification of an audit trail</title><style>{_STYLE}</style>",
            "<h1>Verification of an audit trail</h1>",
            f"<p>{escape(self._database)}, schema {escape(self._schema)}, {now}, "
            f"audit-core {version('audit-core')}</p>",
        ]
        for section in self.sections:
            parts.append(f"<h2>{escape(section.name.capitalize())}</h2>")
            if section.failures:
                parts.append(f"<p class=failure>{section.failures} failures</p>")
            else:
                parts.append(f"<p class=fine>{escape(section.fine)}</p>")
            if section.findings:
                rows = "".join(
                    f"<tr><td{' class=failure' if each.is_failure else ''}>{escape(each.kind)}"
                    f"<td>{escape(printable(each.message))}"
                    for each in section.findings
                )
                parts.append(f"<table><thead><tr><th>Kind<th>Finding<tbody>{rows}</table>")
        return "\n".join(parts) + "\n</html>\n"


def _print(finding: _Finding) -> None:
    click.echo(printable(f"{finding.kind}: {finding.message}"))
