"""The layout of the tests, of the benchmarks and of what is shipped."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from benchmarks import run

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"


def imported(tree: ast.AST, package: str) -> set[str]:
    """The modules that a module of `package` imports, also those that could be names inside a module."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) + 1 - node.level]
            base = ".".join([*(parts if node.level else ()), *filter(None, [node.module])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            called = node.func.id if isinstance(node.func, ast.Name) else called
            if called in ("import_module", "__import__"):
                found |= {str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant)}
    return found


def of_tests(names: set[str]) -> set[str]:
    """Those that are modules of tests, and not helpers in tests/support."""
    return {
        name
        for name in names
        if name.split(".")[-1].startswith("test_")
        or any(part.startswith("test_") for part in name.split(".")[:-1])
        or (name.startswith("tests.") and not name.startswith("tests.support"))
    }


@pytest.mark.parametrize(
    "code",
    [
        "from tests.engine.test_session import ask", "from tests.engine import test_session",
        "import tests.engine.test_session", "from .test_session import ask", "from . import test_session",
        "from ..test_docs import pages", "from test_session import ask", "from tests.e2e.conftest import home",
        "def f():\n    import tests.engine.test_session as other",
        "importlib.import_module('tests.engine.test_session')", "import_module('tests.engine.test_session')",
        "__import__('tests.test_docs')",
    ],
)  # fmt: skip
def test_each_way_to_import_a_test_module_is_seen(code: str) -> None:
    assert of_tests(imported(ast.parse(code), "tests.engine"))


def test_helpers_may_be_imported() -> None:
    code = (
        "from tests.support.sessions import TEXT\nfrom tests.support import models\nimport pytest"
    )
    assert not of_tests(imported(ast.parse(code), "tests.engine"))


def test_no_test_module_imports_another() -> None:
    found: dict[str, set[str]] = {}
    for path in sorted(TESTS.rglob("*.py")):
        package = ".".join(path.relative_to(ROOT).parts[:-1])
        wrong = of_tests(imported(ast.parse(path.read_text()), package))
        if wrong:
            found[str(path.relative_to(ROOT))] = wrong
    assert found == {}


def test_each_benchmark_is_listed() -> None:
    modules = {path.stem for path in run.FOLDER.glob("*.py")}
    assert modules == run.BENCHMARKS.keys() | run.HELPERS
    assert not run.BENCHMARKS.keys() & run.HELPERS
    assert all(run.summary(name) for name in run.BENCHMARKS)


def test_the_wheel_holds_neither_laboratory_nor_tests() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {Path(package).parts[0] for package in packages} == {
        "protocol",
        "kernels",
        "engine",
        "lsp_server",
    }
    for package in packages:
        inside = [path.relative_to(ROOT / package) for path in (ROOT / package).rglob("*.py")]
        assert inside, package
        assert [p for p in inside if p.name.startswith(("test_", "conftest"))] == []
        assert [p for p in inside if {"tests", "lab", "benchmarks"} & {*p.parts}] == []


MAX_LINES = 300


@pytest.mark.parametrize("folder", ["protocol", "kernels", "engine", "lsp_server", "lab", "demo"])
def test_a_long_file_gives_the_reason(folder: str) -> None:
    """Test modules may be longer: they are lists of cases."""
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    long = [path for path in files if len(path.read_text().splitlines()) > MAX_LINES]
    for path in long:
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert f"{MAX_LINES} lines" in docstring, f"{path.relative_to(ROOT)} gives no reason"
