"""Signatures are what Python's own parser says they are, and are there in each language."""

from __future__ import annotations

import ast
import inspect
import warnings
from pathlib import Path

import pytest

from warmline_engine.retrieval.source.split import split
from warmline_engine.syntax.grammars import GRAMMARS

SAMPLES = {
    "python": '@cached\ndef add(a, b):\n    """Adds.\n\n    More."""\n    return a + b\nLIMIT = 3\n'
    "class Box:\n    def get(self):\n        def hidden(): pass\n",
    "javascript": "// Adds.\nfunction add(a, b) { return a + b; }\nconst LIMIT = 3;\n"
    "class Box { get() { return 1; } }\n",
    "typescript": "/** Adds. */\nexport function add(a: number): number { return a; }\n"
    "export const LIMIT = 3;\nexport class Box<T> { get(): T { return this.v; } }\n",
    "typescriptreact": "/** Adds. */\nfunction add(a: number) { return <b>{a}</b>; }\n"
    "const LIMIT = 3;\nclass Box { get() { return 1; } }\n",
    "go": "package p\n// Adds.\nfunc add(a int) int { return a }\nconst LIMIT = 3\n"
    "type Box struct { V int }\nfunc (b *Box) get() int { return b.V }\n",
    "rust": "/// Adds.\n#[inline]\npub fn add(a: i32) -> i32 { a }\nconst LIMIT: u32 = 3;\n"
    "struct Box<T> { v: T }\nimpl<T> Box<T> { fn get(&self) -> &T { &self.v } }\n",
    "java": "class Box<T> {\n  static final int LIMIT = 3;\n  /** Adds. */\n  int add(int a) { return a; }\n"
    "  T get() { return v; }\n}\n",
    "c": "#define LIMIT 3\n/* Adds. */\nint add(int a) { return a; }\nchar *get(void) { return 0; }\n"
    "struct Box { int v; };\n",
    "cpp": "const int LIMIT = 3;\n// Adds.\nint add(int a) { return a; }\n"
    "template <typename T> class Box { T get() const { return v; } };\n",
    "csharp": "class Box {\n  const int LIMIT = 3;\n  /// Adds.\n  int add(int a) { return a; }\n"
    "  int get() { return 1; }\n}\n",
    "ruby": "# Adds.\ndef add(a)\n  a\nend\nclass Box\n  LIMIT = 3\n  def get\n    1\n  end\nend\n",
    "php": "<?php\nconst LIMIT = 3;\n// Adds.\nfunction add($a) { return $a; }\n"
    "class Box { function get() { return 1; } }\n",
}  # fmt: skip


@pytest.mark.parametrize("language", sorted(GRAMMARS))
def test_each_language_gives_signatures(language: str) -> None:
    found = {s.name: s for s in split(SAMPLES[language], language).signatures}
    assert set(found) == {"add", "Box", "get", "LIMIT"}
    assert "Adds." in found["add"].text
    assert "return" not in found["add"].text
    assert "3" in found["LIMIT"].text
    # Go's methods stand outside their type; C has none
    if language not in ("go", "c"):
        assert found["get"].scopes == ("Box",)


def by_ast(text: str) -> set[tuple[str, int, tuple[str, ...]]]:
    """Functions, classes and constants at top level and in classes, by Python's parser."""
    found: set[tuple[str, int, tuple[str, ...]]] = set()

    def walk(body: list[ast.stmt], scopes: tuple[str, ...]) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                found.add((node.name, first - 1, scopes))
                if isinstance(node, ast.ClassDef):
                    walk(node.body, (*scopes, node.name))
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found.add((node.targets[0].id, node.lineno - 1, scopes))
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add((node.target.id, node.lineno - 1, scopes))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        walk(ast.parse(text).body, ())
    return found


@pytest.mark.parametrize(
    "name", ["argparse", "ast", "dataclasses", "enum", "pathlib", "typing", "_pydecimal"]
)
def test_python_signatures_are_those_of_its_own_parser(name: str) -> None:
    text = Path(inspect.__file__).with_name(f"{name}.py").read_text()
    expected = by_ast(text)
    found = {(s.name, s.line, s.scopes) for s in split(text, "python").signatures}
    assert len(expected) > 20
    assert not expected - found
    # what more there is stands below an `if` or `try`
    lines = text.split("\n")
    more = [lines[line] for _, line, _ in found - expected]
    assert all(line.startswith(" ") for line in more), more


def test_a_signature_of_several_lines_with_the_first_line_of_its_docstring() -> None:
    head = 'def f(\n    a: int,\n    b: str = "{",\n) -> dict[str, int]:\n    """What f does.'
    (found,) = split(f'{head}\n\n    And how."""\n    return {{}}\n', "python").signatures
    assert found.text == f'{head}"""\n'


def test_a_long_function_keeps_its_scopes_and_is_cut_between_statements() -> None:
    loop = "        for k in first:\n" + "".join(f"            use({k}, first)\n" for k in range(8))
    blocks = split("class Box:\n    def long(self, first):\n" + loop * 20, "python", 500).blocks
    assert len(blocks) > 5
    assert {block.scopes for block in blocks} == {("Box", "long")}
    assert all(block.text.startswith("        for k") for block in blocks[1:])


def test_broken_code_still_splits_at_definitions() -> None:
    good = "".join(f"def f{k}(a):\n    return [a, {k}, '{'x' * 160}']\n" for k in range(6))
    names = [b.name for b in split(good.replace("[a, 3", "[a, 3, (((("), "python").blocks]
    assert names[:3] == ["f0", "f1", "f2"]


def test_deep_nesting_is_no_recursion() -> None:
    text = "x = " + "[" * 20_000 + "]" * 20_000 + "\n"
    assert "".join(block.text for block in split(text, "python").blocks) == text
