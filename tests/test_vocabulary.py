"""Sources and documentation use the words of docs/glossary.md.

Files of vocabulary_exceptions.txt still have to be rewritten. `python -m tests.test_vocabulary` removes from the list
what has been rewritten; it never adds a file.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.vocabulary import private_words, private_words_of_page

ROOT = Path(__file__).resolve().parent.parent
EXCEPTIONS = Path(__file__).with_name("vocabulary_exceptions.txt")
FOLDERS = ("protocol", "kernels", "engine", "lsp_server", "editors", "lab", "demo")
SUFFIXES = frozenset((".py", ".ts", ".lua", ".c", ".h"))
OTHERS = frozenset(("node_modules", "test", "tests", "out", "dist", "build", "session"))


def sources() -> list[str]:
    """Paths of the source files that are not tests, below the root."""
    listed = subprocess.run(
        ["git", "ls-files", *FOLDERS], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    paths = [Path(name) for name in listed if (ROOT / name).exists()] or [
        path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")
    ]
    found = [path for path in paths if path.suffix in SUFFIXES]
    return sorted(path.as_posix() for path in found if OTHERS.isdisjoint(path.parts))


def exceptions() -> list[str]:
    return EXCEPTIONS.read_text().split()


def needed(names: list[str]) -> list[str]:
    """Those of some files that exist and have a private word."""
    paths = [(name, ROOT / name) for name in names]
    return [name for name, path in paths if path.exists() and private_words(path.read_text())]


@pytest.mark.parametrize("name", sources())
def test_sources_have_no_private_words(name: str) -> None:
    if name not in exceptions():
        assert private_words((ROOT / name).read_text()) == []


def test_the_list_of_exceptions_shrinks() -> None:
    listed = exceptions()
    assert listed == needed(listed), "run python -m tests.test_vocabulary"


@pytest.mark.parametrize(
    "source",
    [
        "def is_told(): ...",
        "# What the twin computes",
        "MOST_LINES = 3",
        "x = [_LEAST_SIZE]",
        "const isTold = true;",
        "the engine is nobody's child",
        "barred_ids = ()",
        '"""Which is of ours."""',
        "-- was Said before",
    ],
)
def test_private_words_are_found(source: str) -> None:
    assert private_words(source)


@pytest.mark.parametrize(
    "source", ["flame, blame, goldfish, uptold", "MAX_LINES, ALMOST_ALL, UTMOST", "twine", "atoll"]
)
def test_other_words_are_not_found(source: str) -> None:
    assert not private_words(source)


def test_code_in_pages_is_left_out() -> None:
    page = "Run `make bench NAME=lame_contexts`; see [lame.json](told/lame.json).\n```\nsaid\n```\n"
    assert private_words_of_page(page) == []
    assert private_words_of_page(page + "What was said.") == ["said"]


if __name__ == "__main__":
    EXCEPTIONS.write_text("\n".join(needed(exceptions())) + "\n")
