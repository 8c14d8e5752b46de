"""The documentation: its links, paths and names exist, its versions agree, its pages keep their form."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.support.vocabulary import private_words_of_page

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = {"README.md": 150, "ARCHITECTURE.md": 200}
FOLDERS = "demo|docs|editors|engine|kernels|lab|lsp_server|protocol|tests"


def pages() -> list[Path]:
    """The Markdown files that people write, by path."""
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    found = [ROOT / name for name in listed] or [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    generated = ("lab/benchmarks/results", "engine/warmline_engine/models", "docs/results.md")
    return [path for path in found if not str(path.relative_to(ROOT)).startswith(generated)]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    targets = [(page.parent / link).resolve() for link in links if "://" not in link]
    assert [name_of(t) for t in targets if not t.exists()] == []


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_paths_in_the_text_exist(page: Path) -> None:
    # the import table shortens paths; tests/test_imports.py compares it with the files
    text = re.sub(r"## Code map and who.*?(?=\n## )", "", page.read_text(), flags=re.DOTALL)
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]+\.(?:py|c|ts|lua|md|json|toml|txt))`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs/design").glob("*.md")), ids=name_of)
def test_entry_points_exist(page: Path) -> None:
    """After a path, names in parentheses are classes of that file, names after a colon its functions or methods."""
    text = page.read_text()
    found = re.findall(r"`([\w/]+\.py)` \(`(\w+)`", text)
    for path, listed in re.findall(r"`([\w/]+\.py)`: ((?:`\w+`(?:, )?)+)", text):
        found += [(path, name) for name in re.findall(r"`(\w+)`", listed)]
    found = [(path, name) for path, name in found if "/" in path]
    lacking = [
        f"{path}: {name}"
        for path, name in found
        if not re.search(
            rf"^\s*(?:class|def|async def) {name}\b", (ROOT / path).read_text(), re.MULTILINE
        )
    ]
    assert lacking == []
    assert found or page.name == "README.md"


@pytest.mark.parametrize("name", MAX_LINES)
def test_first_pages_are_short(name: str) -> None:
    assert len((ROOT / name).read_text().splitlines()) <= MAX_LINES[name]


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_pages_use_the_words_of_the_glossary(page: Path) -> None:
    assert private_words_of_page(page.read_text()) == []


def test_versions_agree() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    constants = {
        "engine/warmline_engine/process/service.py": r'^VERSION = "(.*)"$',
        "lsp_server/warmline_lsp/lsp/server.py": r'^NAME, VERSION = "warmline", "(.*)"$',
        "lsp_server/warmline_lsp/commands/cli.py": r'return "(.*) \(not installed\)"',
    }
    found = {
        path: re.findall(pattern, (ROOT / path).read_text(), re.MULTILINE)
        for path, pattern in constants.items()
    }
    for path in ("editors/vscode/package.json", "editors/vscode/package-lock.json"):
        found[path] = [json.loads((ROOT / path).read_text())["version"]]
    assert found == {path: [version] for path in found}


def test_the_changelog_begins_with_what_is_unreleased_and_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    text = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(version)} - \d{{4}}-\d\d-\d\d", headings[1])
    kinds = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_each_decision_has_its_parts_and_a_line_in_the_index() -> None:
    decisions = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    index = (ROOT / "docs/decisions/README.md").read_text()
    listed = re.findall(r"^\| \[(\d{4})\]\((.*?)\) \| (.*?) \|", index, re.MULTILINE)
    expected = []
    for path in decisions:
        text = path.read_text()
        title = re.match(r"# (\d{4}): (.*)\n", text)
        assert title, path.name
        assert path.name.startswith(title[1]), path.name
        parts = re.findall(r"^## (.*)$", text, re.MULTILINE)
        assert parts == ["Context", "Decision", "Evidence", "Consequences"], path.name
        expected.append((title[1], path.name, title[2]))
    assert listed == expected
    assert [int(number) for number, _, _ in listed] == list(range(1, len(listed) + 1))


def test_the_glossary_defines_each_term_once_in_order() -> None:
    text = (ROOT / "docs/glossary.md").read_text()
    tables = text.split("## Terms of ")[1:]
    rows = [re.findall(r"^\| \*\*(.+?)\*\*", table, re.MULTILINE) for table in tables]
    assert len(rows) == 2
    for terms in rows:
        assert terms == sorted(terms, key=str.lower)
    both = [term.strip() for terms in rows for row in terms for term in row.lower().split(",")]
    assert len(both) == len(set(both))


def test_the_code_names_of_the_glossary_exist() -> None:
    text = (ROOT / "docs/glossary.md").read_text()
    names = {
        name
        for note in re.findall(r"^\| \*\*.+?\*\* \((.*?)\) \|", text, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", note)
    }
    packages = ("protocol", "kernels", "engine", "lsp_server")
    sources = [path.read_text() for folder in packages for path in (ROOT / folder).rglob("*.py")]
    found = {name for name in names for source in sources if re.search(rf"\b{name}\b", source)}
    assert names
    assert found == names
