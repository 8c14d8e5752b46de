"""The languages that are split along their syntax: suffixes, grammars, and which nodes define a name.

Each grammar comes from its own wheel and is loaded when it is first needed.
"""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass
from pathlib import PurePosixPath

from tree_sitter import Language, Parser

LINES_ONLY = "lines"  # the name of a language without grammar: split by lines


@dataclass(frozen=True)
class Grammar:
    """A language: the wheel and function of its grammar, and the node types that matter here."""

    module: str
    function: str
    comment: str  # what begins a comment to the end of a line
    definitions: frozenset[str]  # nodes that define a name of use elsewhere
    constants: frozenset[str] = frozenset()  # nodes that give a name a value


def _types(names: str) -> frozenset[str]:
    return frozenset(names.split())


_SCRIPT = (
    "function_declaration generator_function_declaration class_declaration method_definition "
    "export_statement"
)
_TYPED = (
    f"{_SCRIPT} abstract_class_declaration interface_declaration enum_declaration module "
    "type_alias_declaration internal_module function_signature method_signature"
)
_VARIABLES = _types("lexical_declaration variable_declaration")
_C = (
    "function_definition struct_specifier union_specifier enum_specifier type_definition "
    "preproc_def preproc_function_def"
)

GRAMMARS = {
    "python": Grammar(
        "tree_sitter_python", "language", "#",
        _types("class_definition function_definition decorated_definition"), _types("assignment"),
    ),
    "javascript": Grammar("tree_sitter_javascript", "language", "//", _types(_SCRIPT), _VARIABLES),
    "typescript": Grammar(
        "tree_sitter_typescript", "language_typescript", "//", _types(_TYPED), _VARIABLES
    ),
    "typescriptreact": Grammar(
        "tree_sitter_typescript", "language_tsx", "//", _types(_TYPED), _VARIABLES
    ),
    "go": Grammar(
        "tree_sitter_go", "language", "//",
        _types("function_declaration method_declaration type_declaration"),
        _types("const_declaration var_declaration"),
    ),
    "rust": Grammar(
        "tree_sitter_rust", "language", "//",
        _types("function_item function_signature_item struct_item enum_item union_item trait_item "
               "impl_item mod_item type_item macro_definition"),
        _types("const_item static_item"),
    ),
    "java": Grammar(
        "tree_sitter_java", "language", "//",
        _types("class_declaration interface_declaration enum_declaration record_declaration "
               "method_declaration constructor_declaration annotation_type_declaration"),
        _types("field_declaration"),
    ),
    "c": Grammar("tree_sitter_c", "language", "//", _types(_C), _types("declaration")),
    "cpp": Grammar(
        "tree_sitter_cpp", "language", "//",
        _types(f"{_C} class_specifier namespace_definition template_declaration"),
        _types("declaration"),
    ),
    "csharp": Grammar(
        "tree_sitter_c_sharp", "language", "//",
        _types("namespace_declaration file_scoped_namespace_declaration class_declaration "
               "interface_declaration struct_declaration record_declaration enum_declaration "
               "method_declaration constructor_declaration property_declaration "
               "delegate_declaration"),
        _types("field_declaration"),
    ),
    "ruby": Grammar(
        "tree_sitter_ruby", "language", "#",
        _types("module class singleton_class method singleton_method"), _types("assignment"),
    ),
    "php": Grammar(
        "tree_sitter_php", "language_php", "//",
        _types("namespace_definition class_declaration interface_declaration trait_declaration "
               "enum_declaration function_definition method_declaration"),
        _types("const_declaration"),
    ),
}  # fmt: skip

OTHER_NAMES = {"javascriptreact": "javascript"}  # that editors have for a language

_SUFFIXES = {
    "python": "py pyi pyw",
    "javascript": "js jsx mjs cjs",
    "typescript": "ts mts cts",
    "typescriptreact": "tsx",
    "go": "go",
    "rust": "rs",
    "java": "java",
    "c": "c h",
    "cpp": "cc cpp cxx hh hpp hxx",
    "csharp": "cs",
    "ruby": "rb rake",
    "php": "php",
    LINES_ONLY: "bash clj cljs cmake coffee cr d dart erl ex exs f90 fish fs groovy hs jl kt kts "
    "lua m ml mli nim pl pm proto ps1 pyx r scala sh sql svelte swift tcl v vue zig zsh",
}
_BY_SUFFIX = {
    f".{suffix}": language for language, names in _SUFFIXES.items() for suffix in names.split()
}


def language_of(path: str) -> str | None:
    """A file's language by its suffix; None if it is no source code."""
    return _BY_SUFFIX.get(PurePosixPath(path).suffix.lower())


def comment_mark(language: str) -> str:
    """The mark that starts a comment in a language."""
    grammar = GRAMMARS.get(language)
    return grammar.comment if grammar else "#"


def is_indented(language: str) -> bool:
    """Whether a language marks blocks by indentation."""
    return language == "python"


def new_parser(language: str) -> Parser | None:
    """A parser of a language, for one thread; None for a language without grammar."""
    grammar = GRAMMARS.get(OTHER_NAMES.get(language, language))
    return Parser(_loaded(grammar.module, grammar.function)) if grammar else None


@functools.cache
def _loaded(module: str, function: str) -> Language:
    return Language(getattr(importlib.import_module(module), function)())
