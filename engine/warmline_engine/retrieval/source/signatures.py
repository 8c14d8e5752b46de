"""The short kind of chunk: a definition's signature with the first line of its documentation; constants."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from warmline_engine.syntax.grammars import GRAMMARS

MOST = 400  # characters of a signature
MAX_VALUE = 120  # characters of a constant's line
MAX_NAME = 400  # bytes of a name with its scopes
MAX_VISITED = 50_000  # nodes that may hold definitions, of one file
_WRAPPERS = ("definition", "declaration")
# what may hold definitions of use elsewhere: never the body of a function
_HOLDERS = re.compile(
    r"class|module|namespace|impl|trait|interface|struct|enum|object|record|union"
)
_CONTAINERS = re.compile(
    r"^(program|module|source_file|translation_unit|compilation_unit|block|.*body.*|.*_list"
    r"|statement_block|preproc_.*|linkage_specification|expression_statement|ERROR"
    r"|.*export.*|template_declaration|if_statement|try_statement)$"
)
_DEEPEST = 12


@dataclass(frozen=True)
class Signature:
    """A definition's signature.

    Units: line from 0.
    """

    name: str
    line: int
    scopes: tuple[str, ...]
    text: str


def signatures(root: Node, source: bytes, language: str) -> list[Signature]:
    """The signatures of a parsed file, in order: at top level and inside classes and similar scopes."""
    return sorted(_signatures(root, source, language), key=lambda signature: signature.line)


def name_of(node: Node, source: bytes, language: str) -> str:
    """The name that a definition or constant defines, "" if it has none."""
    for _ in range(_DEEPEST):
        if inner := _wrapped(node):
            node = inner
            continue
        found = (
            node.child_by_field_name("name")
            or node.child_by_field_name("declarator")
            or (node.child_by_field_name("left") if "assignment" in node.type else None)
            or (node.child_by_field_name("type") if node.type == "impl_item" else None)
            or _first_holding(node)
        )
        if found is None:
            return ""
        if not found.named_child_count:
            return _name(found, source)
        if found.type in ("qualified_identifier", "qualified_name", "scoped_identifier",
                          "dotted_name", "nested_identifier", "namespace_name",
                          "scoped_type_identifier"):  # fmt: skip
            return _name(found, source)
        if found.type in ("generic_type", "template_type", "template_function"):
            return _name(found.named_children[0], source)
        node = found
    return ""


def _name(node: Node, source: bytes) -> str:
    """A name, "" for one that is too long to be a name."""
    return _text(node, source) if node.end_byte - node.start_byte <= MAX_NAME else ""


def _text(node: Node, source: bytes) -> str:
    return source[node.start_byte : node.end_byte].decode("utf-8", "replace")


def _wrapped(node: Node) -> Node | None:
    """The definition inside a decorated, exported or templated one."""
    for field in _WRAPPERS:
        if inner := node.child_by_field_name(field):
            return inner
    if node.type == "template_declaration":
        return node.named_children[-1] if node.named_children else None
    return None


def _first_holding(node: Node) -> Node | None:
    """The node with the name of a declaration whose grammar has no field for it."""
    for child in node.named_children:
        if child.type.endswith(("_spec", "_declarator", "const_element", "variable_declaration")):
            return child
    if node.type in ("const_element", "variable_declaration", "reference_declarator"):
        return node.named_children[0] if node.named_children else None
    return None


def _signatures(root: Node, source: bytes, language: str) -> Iterator[Signature]:
    grammar = GRAMMARS[language]
    stack: list[tuple[Node, tuple[str, ...], int]] = [(root, (), 0)]
    n_visited = 0
    while stack and n_visited < MAX_VISITED:
        node, scopes, depth = stack.pop()
        if depth > _DEEPEST:
            continue
        inner: list[tuple[Node, tuple[str, ...], int]] = []
        above: list[Node] = []  # comments and attributes that end on the line above
        for child in node.named_children:
            n_visited += 1
            if above and child.start_point.row > above[-1].end_point.row + 1:
                above = []
            if child.type in grammar.definitions:
                core = _wrapped(child) or child
                core = _wrapped(core) or core
                is_value = core.type not in grammar.definitions
                if name := name_of(child, source, language):
                    yield (
                        _constant(name, child, source, scopes)
                        if is_value
                        else Signature(
                            name,
                            child.start_point.row,
                            scopes,
                            _signature(child, core, above, source, language),
                        )
                    )
                if not is_value and _HOLDERS.search(core.type):
                    inner.append((core, (*scopes, name) if name else scopes, depth + 1))
            elif child.type in grammar.constants:
                if name := name_of(child, source, language):
                    yield _constant(name, child, source, scopes)
            elif _CONTAINERS.match(child.type):
                inner.append((child, scopes, depth + 1))
            if "comment" in child.type or child.type == "attribute_item":
                above.append(child)
            else:
                above = []
        stack += reversed(inner)


def _constant(name: str, node: Node, source: bytes, scopes: tuple[str, ...]) -> Signature:
    text = _text(node, source)
    first = text.split("\n", 1)[0].rstrip()
    if len(first) > MAX_VALUE or first != text.rstrip():
        first = f"{first[:MAX_VALUE]} ..."
    return Signature(name, node.start_point.row, scopes, first + "\n")


def _signature(node: Node, core: Node, above: list[Node], source: bytes, language: str) -> str:
    body = core.child_by_field_name("body")
    end = body.start_byte if body else node.end_byte
    head = source[node.start_byte : end].decode("utf-8", "replace").rstrip(" \t\r\n{")
    if language == "ruby" or (body is None and len(head) > MOST):
        head = head.split("\n", 1)[0]
    document = _docstring(body, source) if language == "python" else _comment(above, source)
    head = head[:MOST]
    if not document:
        return head + "\n"
    if language == "python":
        return f'{head}\n    """{document}"""\n'
    return f"{GRAMMARS[language].comment} {document}\n{head}\n"


def _docstring(body: Node | None, source: bytes) -> str:
    """The first line of a Python docstring."""
    first = body.named_children[0] if body and body.named_children else None
    if first is not None and first.type == "expression_statement" and first.named_children:
        first = first.named_children[0]
    if first is None or first.type != "string":
        return ""
    text = _text(first, source).lstrip("rRbBuUfF").strip("\"'").strip()
    return text.split("\n", 1)[0].strip()[:MAX_VALUE]


def _comment(above: list[Node], source: bytes) -> str:
    """The first line with words of a comment above a definition."""
    first = next((node for node in above if "comment" in node.type), None)
    if first is None:
        return ""
    for line in _text(first, source).split("\n"):
        if comment := line.strip().strip("/*#! ").strip():
            return comment[:MAX_VALUE]
    return ""
