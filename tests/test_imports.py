"""Who may import whom: checks the table of ARCHITECTURE.md against the code, and nothing else.

The table has one row for each folder, from the bottom to the top. A folder imports itself and what its row lists.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("protocol", "kernels", "engine", "lsp_server", "lab")  # folders of our packages
HEADING = "## Code map and who may import whom"
MAX_LEVELS = 7
MAX_FILES = 12  # of a folder, its __init__.py not counted
ONE_COMMAND_EACH = {"lab/benchmarks"}  # many files that do not import each other


@dataclass
class Row:
    """A folder's row of the table: folders of ours and packages of others that it may import."""

    ours: set[str]
    others: set[str]


@dataclass
class Code:
    """What the packages import. Modules have dotted names, folders the table's names."""

    folder_of: dict[str, str] = field(default_factory=dict[str, str])
    ours: dict[str, set[str]] = field(default_factory=dict[str, set[str]])  # modules, by module
    others: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    problems: list[str] = field(default_factory=list[str])

    def folders(self) -> dict[str, set[str]]:
        """The folders that each folder imports, itself left out."""
        found: dict[str, set[str]] = {folder: set() for folder in self.folder_of.values()}
        for module, imported in self.ours.items():
            folder = self.folder_of[module]
            found[folder] |= {self.folder_of[name] for name in imported} - {folder}
        return found


# ---- the table


def rows_of(root: Path) -> dict[str, Row]:
    """The rows of ARCHITECTURE.md's table by folder, from the bottom to the top."""
    section = (root / "ARCHITECTURE.md").read_text().partition(HEADING)[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    rows: dict[str, Row] = {}
    for line in lines:
        folder, _, ours, others = (cell.strip() for cell in line.strip().strip("|").split("|"))
        (name,) = names_in(folder)
        assert name not in rows, f"two rows for {name}"
        rows[name] = Row(set(names_in(ours)), set(names_in(others)))
    return rows


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# ---- the code


def read_code(root: Path) -> Code:
    """All imports of all files of our packages, wherever in a file, those for type checkers included."""
    code = Code()
    files: dict[str, Path] = {}
    for path in (path for source in SOURCES for path in sorted((root / source).rglob("*.py"))):
        module = module_of(root, path)
        files[module] = path
        code.folder_of[module] = folder_of(root, path)
    tops = {module.partition(".")[0] for module in files}
    for module, path in files.items():
        code.ours[module], code.others[module] = set(), set()
        for name, item in imports_of(path, module):
            top = name.partition(".")[0]
            found = next((n for n in (f"{name}.{item}", name) if n in files), None)
            if found is not None:
                code.ours[module] |= {found} - {module}
            elif top in tops:
                code.problems.append(f"{module} imports {name}, which is not there")
            elif top not in sys.stdlib_module_names:
                code.others[module].add(top)
    return code


def module_of(root: Path, path: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def folder_of(root: Path, path: Path) -> str:
    """A folder's name in the table: its path without the package's name. `__main__.py` counts as one."""
    source, package, *below = path.relative_to(root).parts[:-1]
    parts = [source, *([] if package.startswith("warmline_") else [package]), *below]
    return "/".join([*parts, path.name] if path.name == "__main__.py" else parts)


def imports_of(path: Path, module: str) -> Iterator[tuple[str, str]]:
    """Modules that a file imports, by absolute names, each with a name that is taken from it, or none."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((name, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and is_import_call(node.func):
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield name.value, ""


def is_import_call(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in ("import_module", "__import__")


# ---- the rules


def problems_of(root: Path) -> list[str]:
    """Where code and table differ, and where the graph breaks a rule; empty where all is well."""
    rows, code = rows_of(root), read_code(root)
    folders = code.folders()
    found = [*code.problems, *wrong_rows(rows, folders, code), *wrong_imports(rows, code)]
    found += [f"a circle of files: {names}" for names in circles(code.ours)]
    circular = circles(folders)
    found += [f"a circle of folders: {names}" for names in circular]
    if not circular and (n_levels := max(levels(folders).values())) > MAX_LEVELS:
        found.append(f"{n_levels} levels of folders")
    return found


def wrong_rows(rows: dict[str, Row], folders: dict[str, set[str]], code: Code) -> Iterator[str]:
    """Rows that are missing, have no folder, allow what nothing uses, or allow what comes after them."""
    yield from (f"{folder} has no row" for folder in sorted(folders.keys() - rows.keys()))
    before: set[str] = set()
    for folder, row in rows.items():
        if folder not in folders:
            yield f"the row {folder} has no folder"
            continue
        used = {n for m, names in code.others.items() if code.folder_of[m] == folder for n in names}
        unused = sorted((row.ours - folders[folder]) | (row.others - used))
        yield from (f"the row {folder} allows {name}, which it does not use" for name in unused)
        upwards = sorted(row.ours - before)
        yield from (
            f"the row {folder} allows {name}, which does not come before it" for name in upwards
        )
        before.add(folder)


def wrong_imports(rows: dict[str, Row], code: Code) -> Iterator[str]:
    for module, imported in code.ours.items():
        folder = code.folder_of[module]
        allowed = rows[folder].ours | {folder} if folder in rows else {folder}
        for name in sorted(imported):
            if code.folder_of[name] not in allowed:
                yield f"{module} imports {name}; the row {folder} does not allow {code.folder_of[name]}"
    for module, imported in code.others.items():
        folder = code.folder_of[module]
        allowed = rows[folder].others if folder in rows else set[str]()
        for name in sorted(imported - allowed):
            yield f"{module} imports {name}; the row {folder} does not allow it"


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Groups of nodes of which each reaches each other one."""
    reached = {node: reachable(graph, node) for node in graph}
    groups = {
        frozenset({node, *(other for other in reached[node] if node in reached[other])})
        for node in graph
        if node in reached[node]
    }
    return sorted(sorted(group) for group in groups)


def reachable(graph: Mapping[str, Iterable[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += graph[node]
    return found


def levels(folders: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Each folder's height; 1 where it imports nothing. The lab, which is not shipped, counts as one folder."""
    graph: dict[str, set[str]] = {}
    for folder, imported in folders.items():
        part = part_of(folder)
        graph.setdefault(part, set()).update({part_of(name) for name in imported} - {part})
    heights: dict[str, int] = {}

    def height(part: str) -> int:
        if part not in heights:
            heights[part] = 1 + max((height(below) for below in graph[part]), default=0)
        return heights[part]

    return {folder: height(part_of(folder)) for folder in folders}


def part_of(folder: str) -> str:
    return "lab" if folder.startswith("lab/") else folder


# ---- our code


def test_the_code_is_as_the_table_says() -> None:
    assert problems_of(ROOT) == []


def test_the_server_imports_nothing_of_the_engine() -> None:
    light = {"protocol", "kernels", "lsp_server"}
    heavy = {"engine", "kernels", "lab"}
    found = {
        (folder, name)
        for folder, row in rows_of(ROOT).items()
        for name in row.ours
        if folder.split("/")[0] in light and name.split("/")[0] in heavy
        if folder.split("/")[0] != name.split("/")[0]
    }
    assert found == set()


def test_no_file_of_the_server_imports_the_engine() -> None:
    code = read_code(ROOT)
    found = {
        (module, name)
        for module, imported in code.ours.items()
        for name in imported
        if code.folder_of[module].split("/")[0] == "lsp_server"
        if code.folder_of[name].split("/")[0] not in ("lsp_server", "protocol")
    }
    assert found == set()
    grammars = {m for m, names in code.others.items() if names & {"tree_sitter", "torch"}}
    assert not {m for m in grammars if code.folder_of[m].split("/")[0] == "lsp_server"}


def test_folders_are_small() -> None:
    n_files: dict[str, int] = {}
    for path in (path for source in SOURCES for path in (ROOT / source).rglob("*.py")):
        if path.name != "__init__.py":
            folder = folder_of(ROOT, path)
            n_files[folder] = n_files.get(folder, 0) + 1
    large = {folder: n for folder, n in n_files.items() if n > MAX_FILES}
    assert not large.keys() - ONE_COMMAND_EACH, large


def test_the_server_starts_without_torch() -> None:
    code = "import sys, warmline_lsp.lsp.server; print('torch' in sys.modules, 'tree_sitter' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]


# ---- the check itself, on a small tree with a planted fault

TABLE = """# Architecture

{heading}

Some words.

| folder | owns | imports of ours | imports of others |
|---|---|---|---|
| `protocol` | frames | | `msgpack` |
| `engine` | errors | | |
| `engine/model` | weights | `engine` | `torch` |
| `engine/session` | documents | `engine`, `engine/model`, `protocol` | |
| `lsp_server` | errors | `protocol` | |
| `lsp_server/__main__.py` | the start | `lsp_server` | |

## Next

| a | table | of | others |
"""
FILES = {
    "protocol/warmline_protocol/__init__.py": "import json\n",
    "protocol/warmline_protocol/wire.py": "import msgpack\n",
    "engine/warmline_engine/__init__.py": "",
    "engine/warmline_engine/errors.py": "",
    "engine/warmline_engine/model/__init__.py": "",
    "engine/warmline_engine/model/layers.py": "import torch.nn\nfrom ..errors import ModelError\n",
    "engine/warmline_engine/model/transformer.py": "from . import layers\nfrom .layers import Layer\n",
    "engine/warmline_engine/session/__init__.py": "",
    "engine/warmline_engine/session/session.py": (
        "from warmline_engine import errors\n"
        "from warmline_engine.model.transformer import Transformer\n"
        "from warmline_protocol import wire\n"
    ),
    "lsp_server/warmline_lsp/__init__.py": "",
    "lsp_server/warmline_lsp/client.py": "def ask():\n    from warmline_protocol import wire\n",
    "lsp_server/warmline_lsp/__main__.py": "from warmline_lsp.client import ask\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "ARCHITECTURE.md").write_text(TABLE.format(heading=HEADING))
    for name, text in FILES.items():
        add(tmp_path, name, text)
    return tmp_path


def add(tree: Path, name: str, text: str) -> None:
    """Writes a file of a tree, or adds lines to it."""
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + text)


def test_a_tree_as_its_table_says_has_no_problem(tree: Path) -> None:
    assert problems_of(tree) == []


LAYERS = "engine/warmline_engine/model/layers.py"
FILE_CIRCLE = (
    "a circle of files: ['warmline_engine.model.layers', 'warmline_engine.model.transformer']"
)
FOLDER_CIRCLE = "a circle of folders: ['engine/model', 'engine/session']"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        (LAYERS, "from .transformer import Transformer\n", FILE_CIRCLE),
        (LAYERS, "def late():\n    from . import transformer\n", FILE_CIRCLE),
        (
            LAYERS,
            "if TYPE_CHECKING:\n    from .transformer import Transformer\n",
            FILE_CIRCLE,
        ),
        # no file imports itself here, not even by others; the folders do
        (
            "engine/warmline_engine/model/cold_read.py",
            "from warmline_engine.session import other\n",
            FOLDER_CIRCLE,
        ),
        (
            LAYERS,
            "import telemetry\n",
            "warmline_engine.model.layers imports telemetry; the row engine/model does not allow it",
        ),
        (
            LAYERS,
            "import importlib\nimportlib.import_module('telemetry.client')\n",
            "warmline_engine.model.layers imports telemetry; the row engine/model does not allow it",
        ),
        (
            "lsp_server/warmline_lsp/client.py",
            "import torch\n",
            "warmline_lsp.client imports torch; the row lsp_server does not allow it",
        ),
        (
            "lsp_server/warmline_lsp/client.py",
            "import warmline_engine.errors\n",
            "warmline_lsp.client imports warmline_engine.errors; the row lsp_server does not allow engine",
        ),
        (
            LAYERS,
            "from warmline_engine.gone import Gone\n",
            "warmline_engine.model.layers imports warmline_engine.gone, which is not there",
        ),
        ("engine/warmline_engine/new/part.py", "", "engine/new has no row"),
        ("lab/benchmarks/speed.py", "import torch\n", "lab/benchmarks has no row"),
    ],
)
def test_a_planted_import_is_found(tree: Path, name: str, text: str, problem: str) -> None:
    add(tree, "engine/warmline_engine/session/other.py", "")
    add(tree, name, text)
    assert problem in problems_of(tree)


@pytest.mark.parametrize(
    ("row", "other", "problem"),
    [
        (
            "| `engine` | errors | | |",
            "| `engine` | errors | `protocol` | |",
            "the row engine allows protocol, which it does not use",
        ),
        (
            "| `engine` | errors | | |",
            "| `engine` | errors | | `numpy` |",
            "the row engine allows numpy, which it does not use",
        ),
        (
            "| `engine` | errors | | |",
            "| `engine` | errors | | |\n| `engine/old` | | | |",
            "the row engine/old has no folder",
        ),
        (
            "| `protocol` | frames | | `msgpack` |",
            "| `protocol` | frames | `engine` | `msgpack` |",
            "the row protocol allows engine, which does not come before it",
        ),
        (
            "| `protocol` | frames | | `msgpack` |",
            "| `protocol` | frames | | |",
            "warmline_protocol.wire imports msgpack; the row protocol does not allow it",
        ),
    ],
)
def test_a_wrong_row_is_found(tree: Path, row: str, other: str, problem: str) -> None:
    path = tree / "ARCHITECTURE.md"
    text = path.read_text()
    assert row in text
    path.write_text(text.replace(row, other))
    assert problem in problems_of(tree)


def test_levels_are_counted(tree: Path) -> None:
    rows = ["| `engine/part0` | | `engine/session` | |"]
    rows += [f"| `engine/part{n}` | | `engine/part{n - 1}` | |" for n in range(1, 5)]
    below = "warmline_engine.session.session"
    for n in range(5):
        add(tree, f"engine/warmline_engine/part{n}/part.py", f"import {below}\n")
        below = f"warmline_engine.part{n}.part"
    path = tree / "ARCHITECTURE.md"
    marker = "| `lsp_server` | errors"
    path.write_text(path.read_text().replace(marker, "\n".join([*rows, marker])))
    assert problems_of(tree) == ["8 levels of folders"]
