"""Who may import whom: the table of ARCHITECTURE.md."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STANDARD = sys.stdlib_module_names
KERNELS = {"numpy", "torch", "triton", "warmline_kernels"}
ENGINE = {
    "torch", "numpy", "warmline_kernels", "warmline_engine", "tokenizers", "safetensors", "tree_sitter",
    "msgpack", "attrs", "cattrs", "filelock", "huggingface_hub", "transformers",
}  # fmt: skip
SERVER = {
    "pygls", "lsprotocol", "tree_sitter", "tree_sitter_python", "filelock", "attrs", "warmline_lsp",
}  # fmt: skip

# the engine's modules that the server imports: what they may import themselves
OF_THE_SERVER_TOO: dict[str, set[str]] = {
    "wire": {"msgpack", "attrs", "cattrs", "warmline_engine"}, "wire_scan": set(), "places": set(),
    "exclusion": {"warmline_engine"}, "globs": set(), "opening": set(), "pipes": set(),
    "remote": {"warmline_engine"}, "processes": set(), "paths": set(),
    "syntax": {"tree_sitter", "warmline_engine"},
}  # fmt: skip

# floors of the engine, from the ground: a file imports its own floor and those below
FLOORS = [
    {"errors", "panics", "syntax"},
    {"model"},
    {"cache", "text"},
    {"decoding"},
    {"loaded_model"},
    {"retrieval"},
    {"window"},
    {"completion"},
    {"session"},
    {"librarian", "visibility"},
    {"inbox", "warm_up"},
    {"worker"},
    {"accepting", "connection", "listening", "service", "bench", "evaluation"},
]


def imports_of(path: Path) -> set[str]:
    """Absolute names of all modules that a file imports, wherever in it."""
    package = path.relative_to(ROOT).with_suffix("").parts[1:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def files_in(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", files_in("kernels/warmline_kernels"), ids=lambda p: p.name)
def test_kernels_import_numbers_only(path: Path) -> None:
    assert {name.split(".")[0] for name in imports_of(path)} <= KERNELS | STANDARD


@pytest.mark.parametrize("path", files_in("engine/warmline_engine"), ids=lambda p: p.name)
def test_the_engine_knows_no_editor(path: Path) -> None:
    allowed = ENGINE | STANDARD
    part = path.relative_to(ROOT / "engine/warmline_engine").with_suffix("").parts[0]
    if part in OF_THE_SERVER_TOO:
        allowed = OF_THE_SERVER_TOO[part] | STANDARD
    assert {name.split(".")[0] for name in imports_of(path)} <= allowed


@pytest.mark.parametrize("path", files_in("lsp_server/warmline_lsp"), ids=lambda p: p.name)
def test_the_server_knows_no_tensor(path: Path) -> None:
    for name in imports_of(path):
        if name.split(".")[0] == "warmline_engine":
            assert name == "warmline_engine" or name.split(".")[1] in OF_THE_SERVER_TOO, name
        elif name.split(".")[0] == "warmline_kernels":
            light = ("warmline_kernels.native.processors", "warmline_kernels.verified")
            assert name == "warmline_kernels" or name.startswith(light), "these load nothing"
        else:
            assert name.split(".")[0] in SERVER | STANDARD, name


@pytest.mark.parametrize("path", files_in("engine/warmline_engine"), ids=lambda p: p.name)
def test_floors_import_downwards(path: Path) -> None:
    parts = path.relative_to(ROOT / "engine/warmline_engine").with_suffix("").parts
    floor = floor_of(parts[0])
    if floor is None:
        return  # what the server has too, and training, stand apart
    for name in imports_of(path):
        if (
            name.startswith("warmline_engine.")
            and (other := floor_of(name.split(".")[1])) is not None
        ):
            assert other <= floor, name


def floor_of(part: str) -> int | None:
    return next((k for k, floor in enumerate(FLOORS) if part in floor), None)


def test_the_server_starts_without_torch() -> None:
    code = "import sys, warmline_lsp.lsp.server; print('torch' in sys.modules, 'tree_sitter' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]
