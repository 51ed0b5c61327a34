"""Each SQL version, as text that is frozen once the library is published with it.

A folder ``v1``, ``v2``, ... holds everything that one version installs. A frozen folder never changes:
a migration that names a version means the same for ever.

A comment at the head of a file is for its readers: it reaches neither the server nor a script.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from ..errors import ConfigurationError
from ..quoting import BODY_TAG

LATEST = 1

#: A table with partitions has triggers of another kind.
TableKind: TypeAlias = Literal["plain", "partitioned"]

_HEAD_COMMENT = re.compile(r"(?:--.*\n)+")
_INCLUDE = re.compile(r"^@include (?P<name>\w+)(?P<values>(?: \w+=[\w.]+)*)@\n", re.MULTILINE)
_SEPARATOR = re.compile(r"^;;\n", re.MULTILINE)
_PLACEHOLDER = re.compile(r"@([a-z_]+)@")
_TRIGGER = re.compile(
    r"CREATE OR REPLACE TRIGGER (?P<name>\w+)\n"
    r"(?P<timing>BEFORE|AFTER) (?P<event>INSERT|UPDATE|DELETE|TRUNCATE) ON @table@\n"
    r"(?:REFERENCING(?: OLD TABLE AS (?P<old_table>\w+))?(?: NEW TABLE AS (?P<new_table>\w+))?\n)?"
    r"FOR EACH (?P<level>STATEMENT|ROW) EXECUTE FUNCTION @schema@\.(?P<function>\w+)\(@arguments@\)\n"
)
_PROTECTION = re.compile(
    r"CREATE OR REPLACE TRIGGER (?P<name>\w+)\n"
    r"(?P<timing>BEFORE) (?P<event>DELETE OR UPDATE|TRUNCATE) ON @schema@\.(?P<table>\w+)\n"
    r"FOR EACH (?P<level>STATEMENT|ROW) EXECUTE FUNCTION @schema@\.(?P<function>\w+)\(\)\n"
)
_FUNCTION = re.compile(r"(?P<head>CREATE .*?)AS \$audit_logger\$(?P<body>.*)\$audit_logger\$", re.DOTALL)
_SIGNATURE = re.compile(
    r"^REVOKE ALL ON (?:FUNCTION|PROCEDURE) @schema@\.\w+(?P<types>\([^)]*\)) FROM PUBLIC", re.MULTILINE
)
_SETTING = re.compile(r"SET (\w+) = '?(\w+(?:, \w+)*)")


@dataclass(frozen=True)
class FunctionDefinition:
    """What the catalog must say of one of our functions."""

    name: str
    body: str
    security_definer: bool
    settings: tuple[str, ...]
    public_may_execute: bool


@dataclass(frozen=True)
class TriggerDefinition:
    """What the catalog must say of one of our triggers, but for its arguments."""

    name: str
    function: str
    timing: str
    event: str
    level: str
    old_table: str | None = None
    new_table: str | None = None


@dataclass(frozen=True)
class SQLVersion:
    """One version of the SQL."""

    version: int
    folder: Path

    def statements(self, name: str, **values: str) -> list[str]:
        """Render the statements of one file; ``values`` are quoted already."""
        return _render(self._text(name), values)

    def functions(self, **values: str) -> list[str]:
        """Render the statements that create or replace every function."""
        return [statement for text in self._texts("functions") for statement in _render(text, values)]

    def function_names(self) -> list[str]:
        """Return the names of the functions, in the order in which they are created."""
        return [name for name, _ in self._files("functions")]

    def signatures(self) -> dict[str, str]:
        """Map each function to the types of its arguments, in the order in which they are created."""
        signatures = {}
        for name, text in self._files("functions"):
            match = _SIGNATURE.search(text)
            assert match is not None
            signatures[name] = match["types"]
        return signatures

    def function_definitions(self, **values: str) -> dict[str, FunctionDefinition]:
        """Describe each function as the catalog shows it when nobody has altered it."""
        definitions = {}
        for name, text in self._files("functions"):
            match = _FUNCTION.match(_render(text, values)[0])
            written = _FUNCTION.match(text)
            assert match is not None
            assert written is not None
            # As it is written: a schema can have any name, also "SECURITY DEFINER".
            head = written["head"]
            definitions[name] = FunctionDefinition(
                name=name,
                body=match["body"],
                security_definer="SECURITY DEFINER" in head,
                settings=tuple(f"{key}={value}" for key, value in _SETTING.findall(head)),
                public_may_execute=False,
            )
        return definitions

    def triggers(self, kind: TableKind, names: Collection[str], **values: str) -> list[str]:
        """Render the statements that create or replace some triggers of a table."""
        files = self._files(f"triggers/{kind}")
        return [statement for name, text in files if name in names for statement in _render(text, values)]

    def trigger_names(self) -> set[str]:
        """Return the names of the triggers that tables of any kind get."""
        return {name for kind in get_args(TableKind) for name, _ in self._files(f"triggers/{kind}")}

    def trigger_definitions(self, kind: TableKind) -> dict[str, TriggerDefinition]:
        """Describe each trigger of a table as the catalog shows it when nobody has altered it."""
        definitions = {}
        for name, text in self._files(f"triggers/{kind}"):
            match = _TRIGGER.fullmatch(text)
            assert match is not None
            definitions[name] = TriggerDefinition(**match.groupdict())
        return definitions

    def protection_definitions(self) -> set[tuple[str, TriggerDefinition]]:
        """Describe the triggers that protect the trail as the catalog shows them: table and trigger."""
        texts = (self._text("protect_tables"), self._text("protect_stream_table"))
        return {
            (definition.pop("table"), TriggerDefinition(**definition))
            for text in texts
            for definition in (match.groupdict() for match in _PROTECTION.finditer(text))
        }

    def _texts(self, folder: str) -> Iterator[str]:
        return (text for _, text in self._files(folder))

    def _files(self, folder: str) -> list[tuple[str, str]]:
        return _read_folder(self.folder, folder)

    def _text(self, name: str) -> str:
        return _read(self.folder, name)


SQL_VERSIONS: dict[int, SQLVersion] = {
    version: SQLVersion(version, Path(__file__).parent / f"v{version}") for version in range(1, LATEST + 1)
}


def sql_version(version: int) -> SQLVersion:
    """Find a version of the SQL.

    :raises ConfigurationError: if this version of the library does not have it.
    """
    try:
        return SQL_VERSIONS[version]
    except KeyError:
        raise ConfigurationError(
            f"Version {version!r} of the audit SQL is not known; this library has "
            f"{', '.join(map(str, SQL_VERSIONS))}. Install the version of audit-core that made the migration."
        ) from None


def latest() -> int:
    """The newest version of the SQL that this library has."""
    return max(SQL_VERSIONS)


@cache
def _read_folder(version: Path, folder: str) -> list[tuple[str, str]]:
    """Read the files of a folder, by their names, in order."""
    names = sorted(file.name.removesuffix(".sql") for file in version.joinpath(folder).glob("*.sql"))
    return [(name, _read(version, f"{folder}/{name}")) for name in names]


@cache
def _read(version: Path, name: str) -> str:
    """Read a file without the comment at its head, with the fragments that it includes in their places."""

    def fragment(include: re.Match[str]) -> str:
        text = _read(version, f"fragments/{include['name']}")
        for value in include["values"].split():
            name, _, replacement = value.partition("=")
            text = text.replace(f"@{name}@", replacement)
        return text

    text = version.joinpath(f"{name}.sql").read_text(encoding="ascii")
    head = _HEAD_COMMENT.match(text)
    return _INCLUDE.sub(fragment, text[head.end() :] if head else text)


def _render(text: str, values: dict[str, str]) -> list[str]:
    for value in values.values():
        if BODY_TAG in value:
            raise ConfigurationError(f"{value} cannot be used in a name: function bodies end with {BODY_TAG}.")
    rendered = _PLACEHOLDER.sub(lambda match: values[match[1]], text)
    return [statement.rstrip("\n") for statement in _SEPARATOR.split(rendered)]
