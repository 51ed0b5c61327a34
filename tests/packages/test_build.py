"""The packages build, from the repository and from their sdists, and need each other exactly."""

from __future__ import annotations

import importlib
import re
import subprocess
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import uv

ROOT = Path(__file__).parents[2]
PACKAGES = ("audit-core", "audit-alembic", "flask-audit-logger")
VERSION = (ROOT / "VERSION").read_text().strip()


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def install(environment: Path, *requirements: str | Path) -> Path:
    """Install into a new environment and return its interpreter."""
    run(uv.find_uv_bin(), "venv", "--quiet", environment)
    python = environment / "bin" / "python"
    run(uv.find_uv_bin(), "pip", "install", "--quiet", "--python", python, *requirements)
    return python


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdists, and the wheels built from them."""
    directory = tmp_path_factory.mktemp("dist")
    for package in PACKAGES:
        run(uv.find_uv_bin(), "build", "--quiet", "--out-dir", directory, ROOT / "packages" / package)
    return directory


def wheel_stem(package: str) -> str:
    return f"{package.replace('-', '_')}-{VERSION}"


def wheel(dist: Path, package: str) -> Path:
    return dist / f"{wheel_stem(package)}-py3-none-any.whl"


def sdist(dist: Path, package: str) -> Path:
    return dist / f"{package.replace('-', '_')}-{VERSION}.tar.gz"


@pytest.mark.parametrize("kind", [wheel, sdist])
def test_packages_install_together(kind, dist: Path, tmp_path: Path) -> None:
    python = install(tmp_path / "venv", *(kind(dist, package) for package in PACKAGES))
    run(python, "-c", "import audit_core, audit_alembic, flask_audit_logger")


def test_core_needs_neither_alembic_nor_flask(dist: Path, tmp_path: Path) -> None:
    python = install(tmp_path / "venv", wheel(dist, "audit-core"))
    run(python, "-c", "import audit_core")
    for module in ("alembic", "flask", "psycopg"):
        with pytest.raises(AssertionError, match="ModuleNotFoundError"):
            run(python, "-c", f"import {module}")


def test_alembic_needs_no_flask(dist: Path, tmp_path: Path) -> None:
    wheels = (wheel(dist, "audit-core"), wheel(dist, "audit-alembic"))
    python = install(tmp_path / "venv", *wheels)
    run(python, "-c", "import audit_alembic")
    with pytest.raises(AssertionError, match="ModuleNotFoundError"):
        run(python, "-c", "import flask")


@pytest.mark.parametrize(
    ("package", "pins"),
    [
        ("audit-core", set()),
        ("audit-alembic", {f"audit-core=={VERSION}"}),
        ("flask-audit-logger", {f"audit-core[cli]=={VERSION}", f"audit-alembic=={VERSION}"}),
    ],
)
def test_packages_pin_each_other(package: str, pins: set[str], dist: Path) -> None:
    stem = wheel_stem(package)
    with zipfile.ZipFile(wheel(dist, package)) as archive:
        in_wheel = archive.read(f"{stem}.dist-info/METADATA").decode()
    with tarfile.open(sdist(dist, package)) as archive:
        member = archive.extractfile(f"{stem}/PKG-INFO")
        assert member
        in_sdist = member.read().decode()
    for metadata in map(Parser().parsestr, (in_wheel, in_sdist)):
        requirements = metadata.get_all("Requires-Dist", [])
        assert metadata["Version"] == VERSION
        assert {line for line in requirements if line.startswith("audit-")} == pins


@pytest.mark.parametrize("package", PACKAGES)
def test_the_page_on_pypi_stands_alone(package: str, dist: Path) -> None:
    with zipfile.ZipFile(wheel(dist, package)) as archive:
        metadata = Parser().parsestr(archive.read(f"{wheel_stem(package)}.dist-info/METADATA").decode())
    assert metadata.get_all("Project-URL", [])
    page = metadata.get_payload()
    links = re.findall(r"\]\(([^)]*)\)", page)
    assert [link for link in links if not link.startswith("https://")] == []
    # The program that it shows can be imported, and is in the terms of today.
    for program in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        compile(program, package, "exec")
        for module, names in re.findall(r"^from (audit_core|flask_audit_logger) import (.+)$", program, re.MULTILINE):
            assert set(names.split(", ")) <= set(importlib.import_module(module).__all__)


@pytest.mark.parametrize("package", PACKAGES)
def test_wheel_contains_every_file(package: str, dist: Path) -> None:
    source = ROOT / "packages" / package / "src"
    expected = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel(dist, package)) as archive:
        names = set(archive.namelist())
    assert expected == {name for name in names if ".dist-info/" not in name}
    assert any(name.endswith("/py.typed") for name in expected)
    assert any(name.endswith("/licenses/LICENSE") for name in names)


@pytest.mark.parametrize("name", ["LICENSE", "hatch_build.py"])
def test_copies_are_equal(name: str) -> None:
    """An sdist holds only files of its package, so the packages have copies."""
    assert len({path.read_text() for path in [*ROOT.glob(name), *ROOT.glob(f"packages/*/{name}")]}) == 1
