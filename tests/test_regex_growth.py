"""Every regular expression of the shipped packages takes steps in proportion to the text, as it is used.

The uses are found in the source, so a new one cannot be forgotten: one that cannot be read here fails.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.growth import assert_grows_slowly
from tests.support.regex_steps import CountedPattern, StepCounter, TooManySteps
from warmline_engine.retrieval.source.ignoring import TooManyPatterns, patterns
from warmline_protocol.exclusion import is_excluded, problems, without_root
from warmline_protocol.globs import MAX_GLOB
from warmline_protocol.remote_address import RemoteError, parse_address

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SOURCES = ("protocol", "lsp_server", "engine", "kernels")
METHODS = ("match", "fullmatch", "search", "findall", "finditer", "split", "sub", "subn")
CHARACTERS = "a0Z_ \t\n:/.[]{}()\\\"'@*#=\u00e9"
MAX_STEPS = 1_000_000
ENDS = ("", "\0", "!")


@dataclass(frozen=True)
class Use:
    where: str
    pattern: re.Pattern[str]
    method: str


def uses() -> Iterator[Use]:
    for source in SOURCES:
        for path in sorted((ROOT / source).glob("warmline_*/**/*.py")):
            text = path.read_text()
            if "re." in text:
                yield from _uses_in(path, ast.parse(text))


def _uses_in(path: Path, tree: ast.Module) -> Iterator[Use]:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts[1:])
    compiled: set[str] = set()
    for node in ast.walk(tree):
        where = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Assign) and _is_re(node.value, ("compile",)):
            assert isinstance(node.targets[0], ast.Name), where
            compiled.add(node.targets[0].id)
        elif _is_re(node, METHODS):
            assert isinstance(node, ast.Call)
            assert isinstance(node.func, ast.Attribute)
            first = node.args[0]
            assert isinstance(first, ast.Constant), f"{where}: compile it at the module's level"
            yield Use(where, re.compile(str(first.value)), node.func.attr)
    n_compiled = sum(_is_re(node, ("compile",)) for node in ast.walk(tree))
    assert n_compiled == len(compiled), f"{name}: assign each compiled pattern to a name"
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=variable), attr=method) if (
                variable in compiled and method in METHODS
            ):
                pattern = getattr(importlib.import_module(name), variable)
                yield Use(f"{name}:{node.lineno}", pattern, method)
            case _:
                pass


def _is_re(node: ast.AST, methods: tuple[str, ...]) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in methods
    )


USES = list(uses())


def test_uses_are_found() -> None:
    found = {use.where.split(":")[0] for use in USES}
    assert {"warmline_protocol.remote_address", "warmline_protocol.exclusion"} <= found


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.where}:{use.method}")
def test_a_regular_expression_takes_linear_time(use: Use) -> None:
    literals = sorted(set(use.pattern.pattern) & set(CHARACTERS))
    pieces = [*CHARACTERS, *map("".join, itertools.permutations(literals, 2))]
    for piece, end in itertools.product(pieces, ENDS):
        short, long = (_steps(use, piece * n + end) for n in (24, 96))
        # four times the text: linear work takes four times the steps, quadratic work sixteen
        assert long <= min(6 * max(short, 100), MAX_STEPS - 1), (piece, end, short, long)


def test_quadratic_expressions_are_noticed() -> None:
    for pattern in (r"\w+!", r"\s+$", r"(a|a)*b", r"[^/]*a[^/]*ab"):
        with pytest.raises(AssertionError):
            test_a_regular_expression_takes_linear_time(Use("here", re.compile(pattern), "search"))


def _steps(use: Use, text: str) -> int:
    counter = StepCounter(MAX_STEPS)
    pattern = CountedPattern(use.pattern, counter)
    try:
        if use.method in ("sub", "subn"):
            getattr(pattern, use.method)("", text)
        elif use.method == "finditer":
            list(pattern.finditer(text))
        else:
            getattr(pattern, use.method)(text)
    except TooManySteps:
        return MAX_STEPS
    return counter.steps


@pytest.mark.parametrize("piece", [*CHARACTERS, "tls://", "[:", "a:", "::1", "a]", "[[", ":1"])
@pytest.mark.parametrize("frame", ["{}", "tls://{}", "[{}]:1", "[{}", "{}:65535", "a:{}", "{} "])
def test_addresses(piece: str, frame: str) -> None:
    def run(text: str) -> None:
        try:
            parse_address(text)
        except RemoteError:
            return

    start, end = frame.split("{}")
    assert_grows_slowly(run, lambda n: start + piece * n + end, 64, 4)


@pytest.mark.parametrize("piece", [*CHARACTERS, "\\a", "a\\", "~/", "./", "*/", "[a", "{a,", "C:/"])
def test_globs_paths_and_ignore_files(piece: str) -> None:
    def settings(text: str) -> None:
        globs = (text, f"{text}.{len(text)}")
        problems(globs)
        is_excluded("/project/a.py", globs, "/project")
        is_excluded("/project/a.py", without_root(globs, "/project"))

    def path(text: str) -> None:
        is_excluded(text, ("*a*b", "/a", "**/c/"), "/root")

    def ignore_file(text: str) -> None:
        try:
            patterns([text])
        except TooManyPatterns:
            return

    n_most = MAX_GLOB // (2 * len(piece))
    assert_grows_slowly(settings, lambda n: piece * min(n, n_most), 16, 4)
    assert_grows_slowly(path, lambda n: piece * n, 64, 4)
    assert_grows_slowly(ignore_file, lambda n: piece * n, 32, 4)
