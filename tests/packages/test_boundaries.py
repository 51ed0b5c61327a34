"""A package takes from another one what is public, and what one module offers to its siblings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import audit_alembic
import audit_core
import flask_audit_logger
import pytest

PACKAGES = Path(__file__).parents[2] / "packages"
OFFERED = {
    "audit_core": ["audit_core.siblings", "audit_core.cli.siblings"],
    "audit_alembic": [],
    "flask_audit_logger": [],
}
PUBLIC = {"audit_core": audit_core, "audit_alembic": audit_alembic, "flask_audit_logger": flask_audit_logger}
FILES = sorted(PACKAGES.glob("*/src/**/*.py"))


def imports(path: Path) -> Iterator[tuple[str, str | None]]:
    """Yield each absolute import of a file: the module, and the name that is taken from it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((str(node.module), alias.name) for alias in node.names)


def crosses_without_leave(own: str, module: str, name: str | None) -> bool:
    package = module.partition(".")[0]
    if package == own or package not in PUBLIC or module in OFFERED[package]:
        return False
    return module != package or name not in getattr(PUBLIC[package], "__all__", ())


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[path.parts.index("src") + 1 :]))
def test_nothing_else_is_taken_from_a_sibling(path: Path) -> None:
    own = path.parts[path.parts.index("src") - 1].replace("-", "_")
    taken = [f"{module}: {name}" for module, name in imports(path) if crosses_without_leave(own, module, name)]
    assert taken == []


@pytest.mark.parametrize(
    ("module", "name", "expected"),
    [
        ("audit_core", "AuditLog", False),
        ("audit_core.siblings", "qualified", False),
        ("audit_core.quoting", "qualified", True),
        ("audit_core", "catalog", True),
        ("audit_core.installation.catalog", None, True),
        ("sqlalchemy", "select", False),
    ],
)
def test_what_may_be_taken(module: str, name: str | None, expected: bool) -> None:
    assert crosses_without_leave("audit_alembic", module, name) is expected


def test_what_is_offered_is_used() -> None:
    """What no sibling needs any more is not kept for them."""
    taken = {
        f"{module}.{name}"
        for path in FILES
        if "audit_core" not in path.parts
        for module, name in imports(path)
        if module in OFFERED["audit_core"]
    }
    for module in OFFERED["audit_core"]:
        offered = __import__(module, fromlist=["__all__"]).__all__
        assert {f"{module}.{name}" for name in offered} - taken == set()


def modules_imported_by(name: str, names: dict[str, Path]) -> Iterator[str]:
    """Yield the modules of its package that a module imports, also for type checkers alone."""
    path = names[name]
    own = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            above = own[: len(own) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                found = f"{module}.{alias.name}"
                yield found if found in names else module


@pytest.mark.parametrize("package", PUBLIC)
def test_data_goes_one_way(package: str) -> None:
    """No module needs, by whatever detour, one that needs it."""
    (source,) = PACKAGES.glob(f"*/src/{package}")
    names = {
        ".".join(path.relative_to(source.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in source.rglob("*.py")
    }
    graph = {name: names.keys() & set(modules_imported_by(name, names)) - {name} for name in names}
    TopologicalSorter(graph).prepare()
