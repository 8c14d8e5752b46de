"""Language ids of editors, and those that a model without a card serves."""

from __future__ import annotations

from collections.abc import Mapping

EVERY = "*"  # stands for every language without an entry

_CODE = """
abap ada agda apex asm assembly astro awk bash bat batch bicep c clojure cmake cobol coffee coffeescript cpp cs
crystal css csharp cuda cuda-cpp cython d dart dockerfile dosbatch elisp elixir elm erlang fennel fish fortran
fortran-modern FortranFreeForm fsharp gdscript gleam glsl go graphql groovy hack haskell hcl heex hlsl html
idris java javascript javascriptreact jsx julia just kotlin lean lean4 less lisp lua luau make makefile matlab
metal mojo nim nix objc objcpp objective-c objective-cpp objectpascal ocaml octave odin pascal perl perl6 php
plpgsql postcss powershell processing prolog proto proto3 ps1 puppet purescript python qml r racket raku razor
reason rescript ruby rust sas sass scala scheme scss sh shaderlab shellscript smalltalk solidity sql starlark
stata svelte swift systemverilog tcl terraform tf thrift tsx typescript typescriptreact v vala vb verilog vhdl
vim viml vue wgsl xonsh zig zsh
"""
_OTHERS = """
bibtex conf csv diff dotenv git-commit git-rebase gitcommit gitrebase help ignore ini jinja json json5 jsonc
jsonl jupyter latex log mail man markdown mdx org pip-requirements plaintext properties restructuredtext rst
scminput search-result ssh_config tex text toml tsv txt xml xsl yaml
"""

# Programming languages, by the ids of VS Code and of Vim. Prose, logs, commit messages and data are not among them:
# data files contain credentials more often than code does. The server must not load the engine's grammars, so a test
# checks that each of their languages is listed.
CODE = frozenset(_CODE.split())
KNOWN = CODE.union(_OTHERS.split())


def choice(languages: Mapping[str, bool], language: str) -> bool | None:
    """The user's setting for a language, by its id or by `*`; None if there is none."""
    return languages.get(language, languages.get(EVERY))
