"""What contributors are told, and what runs for them, names all there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
WORKFLOW = (ROOT / ".github/workflows/tests.yml").read_text()
FOLDERS = {path.parent.name for path in (ROOT / "tests").glob("*/*.py")}
#: The names in the matrices of hatch.toml.
ENVIRONMENTS = {
    name
    for names in re.findall(r"^(?:config|suite) = (\[[^]]*\])", (ROOT / "hatch.toml").read_text(), re.MULTILINE)
    for name in re.findall(r'"(\w+)"', names)
}


@pytest.mark.parametrize("folder", sorted(FOLDERS))
def test_each_folder_of_tests_is_named(folder: str) -> None:
    (where,) = re.findall(r"## Where things are\n(.*?)\n## ", CONTRIBUTING, re.DOTALL)
    assert re.search(rf"\b{folder}\b", where)


@pytest.mark.parametrize("folder", sorted(FOLDERS - {"contract", "typing"}))
def test_each_folder_with_tests_has_an_environment_and_runs_for_a_pull_request(folder: str) -> None:
    assert folder in ENVIRONMENTS
    (jobs,) = re.findall(r"environments:\n((?: +- .*\n)+)", WORKFLOW)
    assert folder in jobs.replace("-", " ").split()
