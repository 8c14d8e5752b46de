"""Finds a file's imports: the names, and the files of the workspace that may define them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from tree_sitter import Node

from warmline_engine.syntax.parsed import parsed

MODULE = ""  # the `original` of a name that stands for a whole module
_SCRIPTS = frozenset(("javascript", "typescript", "typescriptreact"))
_SCRIPT_SUFFIXES = (
    "", ".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".cjs",
    "/index.ts", "/index.tsx", "/index.js", "/index.jsx",
)  # fmt: skip
# All repeats are possessive and what follows the names is optional: a keyword always matches, so no text is scanned
# again from each keyword in it.
_BINDING = re.compile(
    r"""\b(?:import|export|const|let|var)\b([\w$*\s{},:]*+)"""
    r"""(?:['"]([^'"\n]++)['"]|=\s*+(?:await\s++)?(?:require|import)\(\s*+['"]([^'"\n]++)['"])?"""
)
_LAST_KEYWORD = re.compile(r"\b(?:import|export|const|let|var)\s")
_INCLUDE = re.compile(r'^[ \t]*+#[ \t]*+include[ \t]++"([^"\n]++)"', re.MULTILINE)
_JAVA = re.compile(r"^import\s++(?:static\s++)?([\w.]++)\s*+;", re.MULTILINE)
MAX_IMPORTS = 500  # of a file
MAX_MODULE_CHARACTERS = 300
MAX_FOLDERS_UP = 24
MAX_PATH_CHARACTERS = 4_096
_SOURCE_ROOTS = ("", "src", "lib", "src/main/java")


@dataclass(frozen=True)
class Import:
    """An imported name, its name at its source, and the files that may be the source."""

    name: str
    original: str
    sources: tuple[str, ...]


def imports(path: str, language: str, text: str) -> list[Import]:
    """The imports of a text that may lead to files of the workspace, in order.

    Paths are below the workspace's root, with `/`; in other languages than Python, JavaScript, TypeScript, Java, C and
    C++ there are none. Of a file with very many imports, the first are enough; names that are too long are left out.
    """
    return list(islice(_imports(path, language, text), MAX_IMPORTS))


def _imports(path: str, language: str, text: str) -> Iterator[Import]:
    if len(path) > MAX_PATH_CHARACTERS:
        return
    if language == "python":
        yield from _python(path, text)
    elif language in _SCRIPTS:
        yield from _scripts(path, text)
    elif language in ("c", "cpp"):
        for name in _short(_INCLUDE, text):
            yield Import(name, MODULE, tuple(_below(path, name)))
    elif language == "java":
        for name in _short(_JAVA, text):
            last = name.rpartition(".")[2]
            yield Import(last, last, tuple(_below(path, name.replace(".", "/") + ".java")))


def _short(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    return (m[1] for m in pattern.finditer(text) if len(m[1]) <= MAX_MODULE_CHARACTERS)


def _python(path: str, text: str) -> Iterator[Import]:
    source = text.encode("utf-8", "replace")
    root = parsed("python", source)
    if root is None:
        return
    # only statements hold imports: expressions, the most of a tree, are not visited
    stack = [root]
    while stack:
        node = stack.pop()
        if node.type == "import_statement":
            for name, original in _aliases(node, source):
                yield Import(name or original, MODULE, _module(path, original))
        elif node.type == "import_from_statement":
            module = _text(node.child_by_field_name("module_name"), source)
            if len(module) > MAX_MODULE_CHARACTERS:
                continue
            for name, original in _aliases(node, source):
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


def _aliases(node: Node, source: bytes) -> Iterator[tuple[str, str]]:
    """The (alias or "", name) pairs of an import; names that are too long are left out."""
    for child in node.children_by_field_name("name"):
        if child.end_byte - child.start_byte > MAX_MODULE_CHARACTERS:
            continue
        if child.type == "aliased_import":
            yield (
                _text(child.child_by_field_name("alias"), source),
                _text(child.child_by_field_name("name"), source),
            )
        else:
            yield "", _text(child, source)


def _module(path: str, module: str) -> tuple[str, ...]:
    """The files that a Python module may be."""
    n_dots = len(module) - len(module.lstrip("."))
    name = module[n_dots:].replace(".", "/")
    if n_dots:
        folder = posixpath.dirname(path)
        for _ in range(min(n_dots - 1, MAX_FOLDERS_UP)):
            folder = posixpath.dirname(folder)
        stems = [posixpath.join(folder, name) if name else folder]
    else:
        stems = list(_below(path, name))
    return tuple(
        source for stem in stems for source in (f"{stem}.py", f"{stem}/__init__.py", f"{stem}.pyi")
    )


def _scripts(path: str, text: str) -> Iterator[Import]:
    for match in _BINDING.finditer(text):
        is_required = match[3] is not None
        clause, module = _LAST_KEYWORD.split(match[1])[-1], match[2] or match[3] or ""
        if not module.startswith(".") or len(module) > MAX_MODULE_CHARACTERS:
            continue
        if not is_required:
            clause = clause.rstrip()
            if not clause.endswith("from"):
                continue
            clause = clause.removesuffix("from")
            if clause and (clause[-1].isalnum() or clause[-1] in "_$"):
                continue
        stem = posixpath.normpath(posixpath.join(posixpath.dirname(path), module))
        stems = [stem, stem.removesuffix(posixpath.splitext(stem)[1])]  # "./x.js" may be x.ts
        sources = tuple(dict.fromkeys(s + suffix for s in stems for suffix in _SCRIPT_SUFFIXES))
        whole, _, named = clause.partition("{")
        for part in named.replace("}", " ").replace(":", " ").split(","):
            words = part.split()
            if len(words) > 1 and words[0] == "type":  # of TypeScript, unless it is a name itself
                words = words[1:] if words[1] != "as" or len(words) == 2 else words
            if words:
                yield Import(words[-1], words[0], sources)
        for part in whole.split(","):
            words = part.replace("*", " * ").split()
            if len(words) > 1 and words[0] == "type":
                words = words[1:]
            name = next((word for word in reversed(words) if word not in ("*", "as")), "")
            if name:
                yield Import(name, MODULE if "*" in words or is_required else name, sources)


def _below(path: str, name: str) -> Iterator[str]:
    """The folders where a relative path may start: the file's folder, those above it, and usual roots."""
    folder = posixpath.dirname(path)
    seen: set[str] = set()
    for _ in range(MAX_FOLDERS_UP):
        for root in _SOURCE_ROOTS:
            found = posixpath.normpath(posixpath.join(folder, root, name))
            if found not in seen and not found.startswith(".."):
                seen.add(found)
                yield found
        if not folder:
            return
        folder = posixpath.dirname(folder)


def _text(node: Node | None, source: bytes) -> str:
    return source[node.start_byte : node.end_byte].decode("utf-8", "replace") if node else ""
