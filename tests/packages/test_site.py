"""The site is built without a warning and without a network, and what is public is in it."""

from __future__ import annotations

import html
import importlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.operations import Operations
from audit_core.cli.siblings import AuditGroup
from sphinx.util.inventory import InventoryFile

ROOT = Path(__file__).parents[2]
MODULES = [path.stem for path in (ROOT / "docs/api").glob("*.md") if path.stem != "index"]
PUBLIC = [
    (module, name, getattr(importlib.import_module(module), name))
    for module in MODULES
    for name in importlib.import_module(module).__all__
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. A proxy that nobody is behind stands for the network."""
    folder = tmp_path_factory.mktemp("site")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:1")
    command = (sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "docs", str(folder))
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **nowhere}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def documented(site: Path) -> set[str]:
    """The full names of what is documented."""
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    return {name for kind, names in inventory.data.items() if kind.startswith("py:") for name in names}


def members(cls: type[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the methods and properties of a class that are for its users."""
    for name, member in vars(cls).items():
        if name.startswith("_"):
            continue
        if inspect.isfunction(member) or isinstance(member, (property, classmethod, staticmethod)):
            yield name, member
        elif hasattr(member, "fget"):  # a hybrid property of SQLAlchemy
            yield name, member.fget


def attributes(cls: type[Any]) -> Iterator[str]:
    """Yield the names that a class declares for its users."""
    for name, annotation in vars(cls).get("__annotations__", {}).items():
        if not name.startswith("_") and "ClassVar" not in str(annotation):
            yield name


def test_each_public_module_has_a_page() -> None:
    """Public are the packages, and each module beside them that says what it offers, but for what is for siblings."""
    sources = list((ROOT / "packages").glob("*/src/*/*.py"))
    offering = {
        path.parent.name if path.stem == "__init__" else f"{path.parent.name}.{path.stem}"
        for path in sources
        if re.search(r"^__all__ =", path.read_text(), re.MULTILINE) and path.stem != "siblings"
    }
    assert len(offering) >= 5
    assert offering - set(MODULES) == set()


def test_no_public_name_is_missing(site: Path, documented: set[str]) -> None:
    # What comes from another package is documented there, and named on the page.
    missing = [
        f"{module}.{name}"
        for module, name, public in PUBLIC
        if f"{module}.{name}" not in documented
        and not (f"audit_core.{name}" in documented and f">{name}<" in (site / f"api/{module}.html").read_text())
    ]
    assert missing == []


def test_nothing_that_a_public_class_offers_is_missing(documented: set[str]) -> None:
    offered = {
        f"{module}.{name}.{member}"
        for module, name, public in PUBLIC
        if inspect.isclass(public) and f"{module}.{name}" in documented
        for member in [*dict(members(public)), *attributes(public)]
    }
    assert len(offered) > 100
    assert offered - documented == set()


def test_no_operation_of_migrations_is_missing(documented: set[str]) -> None:
    operations = {name for name in vars(Operations) if "audit" in name}
    assert len(operations) > 10
    assert {f"alembic.op.{name}" for name in operations} - documented == set()


def test_signatures_have_their_types_and_errors_are_named(site: Path) -> None:
    text = plain((site / "api/audit_core.html").read_text())
    assert re.search(r"get_as_of\(session: Target, model: type\[_T\], key: Any, when: dt.datetime\) . _T \| None", text)
    assert re.search(r"ConfigurationError . if another AuditLog is attached to the engine\.", text)
    assert "init_audit_logger(schema: str = 'public'" in plain((site / "api/audit_alembic.html").read_text())


@pytest.mark.parametrize(("module", "name", "public"), PUBLIC, ids=lambda each: each if isinstance(each, str) else "")
def test_each_public_name_has_a_docstring_and_so_has_what_it_offers(module: str, name: str, public: Any) -> None:
    assert inspect.getdoc(public)
    if inspect.isclass(public):
        for member, function in members(public):
            assert inspect.getdoc(getattr(function, "fget", None) or function), member


def test_the_search_knows_words_of_the_pages(site: Path) -> None:
    index = (site / "searchindex.js").read_text()
    assert all(word in index for word in ("savepoint", "audit_context", "webhook"))


def test_a_reader_needs_no_other_site(site: Path) -> None:
    """Whatever a page loads comes with it."""
    for path in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|iframe|link rel=\"(?:stylesheet|preload)\")[^>]*>", path.read_text())
        assert loaded
        assert [tag for tag in loaded if re.search(r"=\"(https?:)?//", tag)] == []


def test_all_commands_are_explained() -> None:
    page = (ROOT / "docs/cli.md").read_text()
    assert [name for name in AuditGroup().commands if f"`{name}" not in page] == []


def test_all_sqlstates_are_explained() -> None:
    sql = (path.read_text() for path in (ROOT / "packages/audit-core/src/audit_core/sql").rglob("*.sql"))
    raised = {code for text in sql for code in re.findall(r"ERRCODE = '(\w+)'", text)}
    assert raised
    assert set(re.findall(r"^\| `(AU\d+)`", (ROOT / "docs/sql.md").read_text(), re.MULTILINE)) == raised


def plain(page: str) -> str:
    """Return the text of a page, without what marks it up."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", page)))
