"""Text that is made to be slow: work grows no faster than about n log n, and nothing recurses."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import warmline_engine
import warmline_lsp
from tests.support.growth import assert_grows_slowly, count_steps
from warmline_engine.decoding.stopping import Stopping
from warmline_engine.retrieval.index.words import words, words_of
from warmline_engine.retrieval.query import query
from warmline_engine.retrieval.source import split as splitting
from warmline_engine.retrieval.source.imports import imports
from warmline_engine.retrieval.source.split import split
from warmline_engine.syntax import parsed as parsing
from warmline_engine.syntax.parsed import parsed
from warmline_engine.syntax.tree import around, is_even
from warmline_lab.data.filters import mask

pytestmark = pytest.mark.slow

PATTERNS: dict[str, Callable[[int], str]] = {
    "hex": lambda n: "0x" + "f" * n,
    "import {": lambda n: "import {" * n,
    "import from": lambda n: "import a from " * n,
    "import spaces": lambda n: "import " + " " * n + "{a" + " " * n + "as" + " " * n + "b}",
    "import quotes": lambda n: "import 'x " * n,
    "require": lambda n: "const {a} = require(" * n,
    "const": lambda n: "const a" + " " * n + "= await" + " " * n,
    "spaces": lambda n: "a" + " " * n + "b",
    "dots": lambda n: "a." * n,
    "colons": lambda n: "a:" * n,
    "assignments": lambda n: "a = " * n,
    "def": lambda n: "def f(" * n,
    "for": lambda n: "for " * n,
    "brackets": lambda n: "(" * n,
    "closed brackets": lambda n: "[" * n + "]" * n,
    "quotes": lambda n: "\"'" * n,
    "include": lambda n: "#  include  " * n,
    "includes": lambda n: '#include "a/b.h"\n' * n,
    "java imports": lambda n: "import a.b.c;\n" * n,
    "java names": lambda n: "import a" + ".b" * n,
    "import names": lambda n: "from a import " + ", ".join(f"x{k}" for k in range(n)) + "\n",
    "import lines": lambda n: "".join(f"import x{k}\n" for k in range(n)),
    "comments": lambda n: "# a\n" * n + "def f(): pass\n",
    "comments between": lambda n: "// a\nfunction f() {}\n" * n,
    "decorators": lambda n: "@a\n" * n + "def f(): pass\n",
    "camel": lambda n: "aB" * n,
    "lines": lambda n: "\n" * n,
    "indented": lambda n: "".join(" " * (k % 60) + "if x:\n" for k in range(n)),
    "templates": lambda n: "x<y " * n,
    "emails": lambda n: "a.b-c+" * n,
    "keys": lambda n: "-----BEGIN KEY-----" * n,
}  # fmt: skip
LANGUAGES = ("python", "typescript", "java", "c")


def words_anew(text: str) -> list[str]:
    """The words of a text, none of them remembered from another one: that would be fewer steps."""
    words_of.cache_clear()
    return words(text)


@pytest.mark.parametrize("name", PATTERNS)
def test_growth(name: str) -> None:
    make = PATTERNS[name]
    for language in LANGUAGES:
        assert_grows_slowly(
            lambda text, language=language: list(imports("a/b.x", language, text)), make, 24, 3
        )
    assert_grows_slowly(lambda text: query("a/b.py", "python", text, len(text)), make, 12, 2)
    assert_grows_slowly(words_anew, make, 24, 3)
    assert_grows_slowly(mask, make, 24, 3)


@pytest.mark.parametrize("line", ["a", "ab", "abc" * 8, "a" * 30 + "b", "=" * 4, "x\n"])
def test_growth_of_stopping(line: str) -> None:
    stopping = Stopping("x = ", "", True)
    assert_grows_slowly(stopping.find, lambda n: line * n + "#", 32, 4)


NESTED: dict[str, Callable[[int], str]] = {
    "brackets": lambda n: "[" * n + "]" * n,
    "calls": lambda n: "f(" * n + ")" * n,
    "values": lambda n: "x = [" + "1, " * n + "]",
    "lines of values": lambda n: "x = [\n" + "1,\n" * n + "]",
    "values at each depth": lambda n: "[1, 1, 1, " * n + "]" * n,
    "lines at each depth": lambda n: "[\n1,\n1,\n" * n + "]" * n,
    "functions": lambda n: "".join("  " * (k % 30) + f"def f{k}():\n" for k in range(n)),
    "one line each": lambda n: "def f(): pass\n" * n,
    "comments": lambda n: "# a\n" * n,
}  # fmt: skip


@pytest.mark.parametrize("name", NESTED)
def test_growth_of_split(name: str) -> None:
    # from a size on at which the deepest nodes that are opened are reached
    assert_grows_slowly(lambda text: split(text, "python", 40), NESTED[name], 96, 2, 2_000_000)


def test_split_opens_so_many_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wide nodes inside each other are looked at once for each depth, up to the limit; below it lines are cut."""
    text = "[" * 60 + "1, " * 2_000 + "]" * 60

    def steps(most: int) -> int:
        monkeypatch.setattr(splitting, "MAX_OPENED", most)
        parts = split(text, "python", 40)
        assert "".join(block.text for block in parts.blocks) == text
        return count_steps(lambda: split(text, "python", 40), 10_000_000)

    shipped = splitting.MAX_OPENED
    assert steps(1) < steps(shipped) / 2


def test_the_work_of_a_query_does_not_grow_with_a_long_line() -> None:
    for text in ("a." * 100_000, "a=" * 100_000, "f" * 200_000, "(" * 200_000):
        found = query("a.txt", "lines", text, len(text))
        assert len(found.near) < 10_000
        assert len(found.words) < 20_000
        assert all(len(members) <= 32 for members in found.members.values())


@pytest.mark.parametrize("language", ["python", "typescript", "rust", "go", "ruby", "cpp", "java"])
@pytest.mark.parametrize("unit", ['"', "x<y ", "f('", "`${", "[{", "(", "import {", "if("])
def test_a_parse_takes_so_many_steps(
    language: str, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "MAX_PARSE_STEPS", 200)
    text = unit * (60_000 // len(unit))
    calls = 0
    whole = parsing._parsed_in_steps  # pyright: ignore[reportPrivateUsage]

    def counted(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        return whole(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(parsing, "_parsed_in_steps", counted)
    for k in range(30):  # keystrokes
        split(text + "x" * k, language)
    # a text that took too long is tried again less and less often
    assert calls == 30 or calls <= 6


@pytest.mark.parametrize("language", ["python", "typescript", "cpp"])
def test_nothing_recurses(language: str) -> None:
    for opener, closer in (("(", ")"), ("{", "}")):
        for text in (opener * 10_000 + closer * 10_000, "x = " + opener * 10_000 + "y"):
            parts = split(text, language)
            assert "".join(block.text for block in parts.blocks) == text
            query("a/b", language, text, len(text) // 2)
            root = parsed(language, text.encode())
            if root is not None:
                is_even(root, len(text) // 2)


def test_nodes_around_a_place_are_its_parents() -> None:
    for text in ("x = " + "[" * 50 + "]" * 50, "def f(:\n  (a, [b)\n# c\n}", "", "if x:\n\n"):
        root = parsed("python", text.encode())
        assert root is not None
        for at in range(len(text) + 1):
            node, expected = root.descendant_for_byte_range(at, at), list[object]()
            while node is not None:
                expected.append(node)
                node = node.parent
            assert around(root, at, at) == expected


def test_stutter_is_found_as_a_regular_expression_would() -> None:
    slow = re.compile(r"(.{2,24}?)\1{3,}$")
    stopping = Stopping("x", "", False)
    for length in range(1, 12):
        for letters in itertools.islice(itertools.product("ab\n", repeat=length), 4_000):
            text = "".join(letters) * 2 + "ab" * (length % 5)
            match = slow.search(text)
            found = stopping.find(text)
            expected = match.start() if match else None
            assert (found.n_characters if found and found.reason == "repeat" else None) == expected


# ---- all regular expressions of the product

# an expression of another kind than a constant: why its work is bounded
BUILT = {
    "ignoring.py": "see test_ignoring",
    "globs.py": "see test_ignoring",
    "exclusion.py": "see test_exclusion",
    "paths.py": "a name, then / and a name",
    "place.py": "a set of characters",
    "query.py": "a method of a match",
    "syntax_context.py": "a set of characters",
    "controlled.py": "a name between borders",
    "traces.py": "a name between borders",
    "cross_file.py": "anchored at lines",
    "retrieval_quality.py": "anchored at lines",
    "repair.py": "names between borders",
}

MATCHED_WHOLE = ("remote.py", "ignoring.py")  # a user's setting; see test_ignoring


def constants() -> list[tuple[str, str, int]]:
    """(file, pattern, flags) of each regular expression in the product's sources."""
    found: list[tuple[str, str, int]] = []
    for package in (warmline_engine, warmline_lsp):
        for path in sorted(Path(str(package.__file__)).parent.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                function = node.func if isinstance(node, ast.Call) else None
                is_re = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)
                if not (isinstance(node, ast.Call) and is_re and function.value.id == "re"):  # pyright: ignore
                    continue
                if function.attr == "escape" or path.name in MATCHED_WHOLE:  # pyright: ignore
                    continue
                try:
                    pattern = ast.literal_eval(node.args[0])
                except (ValueError, IndexError):
                    assert path.name in BUILT, f"{path.name}:{node.lineno}: say why it is bounded"
                    continue
                source = ast.unparse(node)
                flags = sum(
                    flag
                    for name, flag in (("IGNORECASE", re.I), ("MULTILINE", re.M), ("DOTALL", re.S))
                    if f"re.{name}" in source
                )
                found.append((path.name, pattern, flags))
    return found


def pumps(pattern: str) -> list[str]:
    """Strings whose repeats may be slow: of the pattern's own words and characters."""
    literals = re.findall(r"[A-Za-z]{2,}", re.sub(r"\\.", " ", pattern))[:6]
    characters = "".join(dict.fromkeys(re.sub(r"\\.|[A-Za-z\d]", "", pattern)))[:6]
    alphabet = ["a", "1", " ", *characters[:4], *(f"{word} " for word in literals[:3])]
    return list(dict.fromkeys([*alphabet, "a.", "a:"]))


@pytest.mark.parametrize(
    ("file", "pattern", "flags"),
    [pytest.param(*one, id=f"{one[0]}-{k}") for k, one in enumerate(constants())],
)
def test_each_regular_expression_is_linear(file: str, pattern: str, flags: int) -> None:
    for pump in pumps(pattern):
        for head in ("", *re.findall(r"[A-Za-z]{3,}", pattern)[:1]):
            assert_grows_slowly(
                lambda text: [m.end() for m in re.compile(pattern, flags).finditer(text)],
                lambda n, pump=pump, head=head: head + " " + pump * n + "\n!",
                32,
                2,
            )
