"""The words of CONTRIBUTING.md are those of the code, the SQL and the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUFFIXES = {".py", ".sql", ".md", ".html", ".toml", ".yml"}
FOLDERS = ("packages", "docs", "examples", "dev", "tests", "benchmarks")


def table_of_words() -> Iterator[str]:
    """Yield each word of the last column."""
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## Words")[2].partition("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| ") and not line.startswith(("| idea", "| ---")):
            yield from filter(None, (word.strip() for word in line.strip("|").split("|")[-1].split(",")))


def texts() -> Iterator[tuple[Path, str]]:
    files = [ROOT / "README.md", *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    for path in files:
        if path.suffix in SUFFIXES and path.is_file() and path != Path(__file__):
            yield path, path.read_text()


TEXTS = list(texts())


@pytest.mark.parametrize("word", list(table_of_words()))
def test_a_word_that_has_another_is_not_used(word: str) -> None:
    # A word that is written small in the table is meant however it is written.
    pattern = re.compile(rf"(?<![\w-]){re.escape(word)}s?(?!\w)", re.IGNORECASE if word.islower() else 0)
    assert [str(path.relative_to(ROOT)) for path, text in TEXTS if pattern.search(text)] == []
