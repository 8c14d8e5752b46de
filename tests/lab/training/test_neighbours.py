"""Pieces of other files for files of JavaScript and TypeScript."""

from __future__ import annotations

import pytest

from warmline_lab.data.neighbours import Neighbours

TYPED = """\
/** A box. */
export abstract class BoxShape<T> {
  constructor(readonly width: number) {}
}

export const makeBox = (width: number) => new BoxShape(width);
export default async function loadBox(path: string) {
  return makeBox(3);
}
export interface BoxLike { width: number }
export type BoxName = "a" | "b";
enum Colour { Red }
function* walkBoxes() { yield 1; }
"""
PLAIN = """\
const helperOf = (x) => x + 1;
function walkTree(node) {
  return node.children.map(walkTree);
}
"""
PYTHON = "class Walker:\n    pass\n"


@pytest.fixture
def neighbours() -> Neighbours:
    paths = ["src/box.ts", "lib/walk.js", "walk.py", "data.json", "src/use.tsx"]
    return Neighbours(["p"] * 5, paths, [TYPED, PLAIN, PYTHON, '{"Walker": 1}', ""])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("makeBox", "// src/box.ts\n"),
        ("BoxShape", "abstract class BoxShape<T>"),
        ("loadBox", "async function loadBox(path: string)"),
        ("BoxLike", "interface BoxLike"),
        ("BoxName", "type BoxName"),
        ("Colour", "enum Colour"),
        ("walkBoxes", "function* walkBoxes()"),
        ("walkTree", "function walkTree(node)"),
        ("helperOf", "// lib/walk.js\n"),
        ("Walker", "# walk.py\n"),
    ],
)
def test_a_name_is_found_in_the_language_of_its_file(
    name: str, says: str, neighbours: Neighbours
) -> None:
    piece = neighbours.of_name(4, name)
    assert piece is not None
    assert says in piece


@pytest.mark.parametrize("name", ["width", "node", "children", "Nowhere"])
def test_what_is_not_defined_at_the_top_is_not_found(name: str, neighbours: Neighbours) -> None:
    assert neighbours.of_name(4, name) is None
