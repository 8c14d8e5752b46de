"""What a file imports: the names it binds, and the files of the workspace that they may come from."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from warmline_engine.syntax.parsed import parsed

MODULE = ""  # the `original` of a name that stands for a whole module
_SCRIPTS = frozenset(("javascript", "typescript", "typescriptreact"))
_SCRIPT_SUFFIXES = (
    "", ".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".cjs",
    "/index.ts", "/index.tsx", "/index.js", "/index.jsx",
)  # fmt: skip
_FROM = re.compile(
    r"""(?:import|export)\s+(?:type\s+)?([\w$*\s{},]+?)\s+from\s*['"]([^'"\n]+)['"]"""
    r"""|(?:const|let|var)\s+([\w$\s{},:]+?)\s*=\s*(?:await\s+)?(?:require|import)\(\s*['"]([^'"\n]+)['"]"""
)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"\n]+)"', re.MULTILINE)
_JAVA = re.compile(r"^import\s+(?:static\s+)?([\w.]+)\s*;", re.MULTILINE)
_SOURCE_ROOTS = ("", "src", "lib", "src/main/java")


@dataclass(frozen=True)
class Import:
    """A name bound in a file: what it is called where it comes from, and the files that may be."""

    name: str
    original: str
    sources: tuple[str, ...]


def imports(path: str, language: str, text: str) -> list[Import]:
    """The imports of a text that may lead to files of the workspace, in order.

    Paths are below the workspace's root, with `/`; in other languages than Python, JavaScript, TypeScript, Java, C and
    C++ there are none.
    """
    if language == "python":
        return list(_python(path, text))
    if language in _SCRIPTS:
        return list(_scripts(path, text))
    if language in ("c", "cpp"):
        names = _INCLUDE.findall(text)
        return [Import(n, MODULE, tuple(_below(path, n))) for n in names]
    if language == "java":
        return [
            Import(n.split(".")[-1], n.split(".")[-1], tuple(_below(path, n.replace(".", "/") + ".java")))
            for n in _JAVA.findall(text)
        ]  # fmt: skip
    return []


def _python(path: str, text: str) -> Iterator[Import]:
    root = parsed("python", text.encode("utf-8", "replace"))
    assert root is not None
    # only statements hold imports: expressions, the most of a tree, are not visited
    stack = [root]
    while stack:
        node = stack.pop()
        if node.type == "import_statement":
            for name, original in _aliases(node):
                yield Import(name or original, MODULE, _module(path, original))
        elif node.type == "import_from_statement":
            module = _text(node.child_by_field_name("module_name"))
            for name, original in _aliases(node):
                inner = f"{module}{'' if module.endswith('.') else '.'}{original}"
                sources = (*_module(path, module), *_module(path, inner))
                yield Import(name or original, original, sources)
        elif node.type in _PYTHON_HOLDERS:
            stack += reversed(node.children)


_PYTHON_HOLDERS = frozenset(
    ("module", "block", "if_statement", "else_clause", "elif_clause", "try_statement", "except_clause",
     "finally_clause", "with_statement", "function_definition", "class_definition",
     "decorated_definition", "ERROR")
)  # fmt: skip


def _aliases(node: Node) -> Iterator[tuple[str, str]]:
    """The (alias or "", name) pairs of an import."""
    for child in node.children_by_field_name("name"):
        if child.type == "aliased_import":
            yield (
                _text(child.child_by_field_name("alias")),
                _text(child.child_by_field_name("name")),
            )
        else:
            yield "", _text(child)


def _module(path: str, module: str) -> tuple[str, ...]:
    """The files that a Python module may be."""
    n_dots = len(module) - len(module.lstrip("."))
    name = module[n_dots:].replace(".", "/")
    if n_dots:
        folder = posixpath.dirname(path)
        for _ in range(n_dots - 1):
            folder = posixpath.dirname(folder)
        stems = [posixpath.join(folder, name) if name else folder]
    else:
        stems = list(_below(path, name))
    return tuple(
        source for stem in stems for source in (f"{stem}.py", f"{stem}/__init__.py", f"{stem}.pyi")
    )


def _scripts(path: str, text: str) -> Iterator[Import]:
    for match in _FROM.finditer(text):
        clause, module = (match[1], match[2]) if match[2] else (match[3], match[4])
        if not module.startswith("."):
            continue
        stem = posixpath.normpath(posixpath.join(posixpath.dirname(path), module))
        stems = [stem, stem.removesuffix(posixpath.splitext(stem)[1])]  # "./x.js" may be x.ts
        sources = tuple(dict.fromkeys(s + suffix for s in stems for suffix in _SCRIPT_SUFFIXES))
        whole, _, named = clause.partition("{")
        for part in named.rstrip("} \n\t").split(","):
            words = re.split(r"\s+as\s+|\s*:\s*", part.strip().removeprefix("type "))
            if words[0]:
                yield Import(words[-1], words[0], sources)
        for part in whole.split(","):
            name = part.split(" as ")[-1].strip(" \n\t*")
            if name:
                yield Import(name, MODULE if "*" in part or match[4] else name, sources)


def _below(path: str, name: str) -> Iterator[str]:
    """Where a path without root may begin: the file's folder and those above it, and usual roots."""
    folder = posixpath.dirname(path)
    seen: set[str] = set()
    while True:
        for root in _SOURCE_ROOTS:
            found = posixpath.normpath(posixpath.join(folder, root, name))
            if found not in seen and not found.startswith(".."):
                seen.add(found)
                yield found
        if not folder:
            return
        folder = posixpath.dirname(folder)


def _text(node: Node | None) -> str:
    return (node.text or b"").decode("utf-8", "replace") if node else ""
