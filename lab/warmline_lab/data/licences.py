"""Which packages and files may be trained on: three sources must agree, and unknown means out."""

from __future__ import annotations

import re

ALLOWED = frozenset(
    {
        "PSF-2.0", "MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "0BSD", "Apache-2.0",
        "Zlib", "CC0-1.0", "Unlicense",
    }
)  # fmt: skip

# what a licence file of each kind says, lower case, blanks folded
_PHRASES = {
    "MIT": "permission is hereby granted, free of charge, to any person obtaining a copy",
    "Apache-2.0": "apache license version 2.0",
    "BSD": "redistribution and use in source and binary forms",
    "ISC": "permission to use, copy, modify, and/or distribute this software for any purpose",
    "PSF-2.0": "python software foundation license version 2",
    "Unlicense": "this is free and unencumbered software released into the public domain",
    "Zlib": "this software is provided 'as-is', without any express or implied warranty",
    "CC0-1.0": "creative commons cc0",
}

_CLASSIFIERS = {
    "MIT License": "MIT",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "zlib/libpng License": "Zlib",
}

_OTHER_LICENCE = re.compile(
    r"\b[AL]?GPL(?:v?\d)?\b|General Public License|\bMPL\b|Mozilla Public|Eclipse Public|\bEPL\b"
    r"|CC[- ]BY|Creative Commons Attribution|Server Side Public|Business Source|Commons Clause"
    r"|\bproprietary\b|\bconfidential\b|CDDL|CeCILL|All rights not expressly granted",
    re.IGNORECASE,
)
_DISTRIBUTED_UNDER = re.compile(
    r"(?:licen[sc]ed|released|distributed) under (?:the )?(?:terms of )?(?:the )?([^\n.;]{3,60})",
    re.IGNORECASE,
)
_KNOWN_NAME = re.compile(
    r"MIT|BSD|Apache|PSF|Python Software|ISC|zlib|CC0|Unlicense|licen[sc]e", re.I
)
MAX_TOKENS = 200  # of an expression: parentheses are read by recursion
_IDENTIFIER = re.compile(r"SPDX-License-Identifier:\s*([^\n*#]+)")


def is_allowed(expression: str) -> bool:
    """Whether an SPDX expression leaves us a way to use the text: one arm of OR, all arms of AND."""
    tokens = re.findall(r"\(|\)|[^\s()]++", expression)
    if len(tokens) > MAX_TOKENS:
        return False
    allowed, rest = _parse_or(tokens)
    return allowed and not rest


def _parse_or(tokens: list[str]) -> tuple[bool, list[str]]:
    allowed, rest = _parse_and(tokens)
    while rest and rest[0].upper() == "OR":
        other, rest = _parse_and(rest[1:])
        allowed = allowed or other
    return allowed, rest


def _parse_and(tokens: list[str]) -> tuple[bool, list[str]]:
    allowed, rest = _parse_one(tokens)
    while rest and rest[0].upper() == "AND":
        other, rest = _parse_one(rest[1:])
        allowed = allowed and other
    return allowed, rest


def _parse_one(tokens: list[str]) -> tuple[bool, list[str]]:
    if not tokens:
        return False, []
    if tokens[0] == "(":
        allowed, rest = _parse_or(tokens[1:])
        return (allowed, rest[1:]) if rest and rest[0] == ")" else (False, rest)
    return tokens[0] in ALLOWED, tokens[1:]


def declared(metadata: str) -> str:
    """The SPDX expression that a package's METADATA declares, empty where it declares none we know."""
    header = metadata.split("\n\n", 1)[0]
    expression = re.search(r"^License-Expression: *(.+)$", header, re.M)
    if expression:
        return expression[1].strip()
    names = re.findall(r"^Classifier: License :: (?:OSI Approved :: )?(.+)$", header, re.M)
    known = [_CLASSIFIERS.get(name.strip(), "") for name in names]
    if known:
        return " AND ".join(known) if all(known) else ""
    short = re.search(r"^License: *(\S.*)$", header, re.M)
    name = short[1].strip() if short else ""
    aliases = {"MIT License": "MIT", "Apache": "Apache-2.0", "Apache 2.0": "Apache-2.0",
               "Apache License 2.0": "Apache-2.0", "Apache 2.0 License": "Apache-2.0",
               "Apache License, Version 2.0": "Apache-2.0", "BSD": "BSD-3-Clause",
               "BSD-3": "BSD-3-Clause", "3-clause BSD License": "BSD-3-Clause"}  # fmt: skip
    return aliases.get(name, name if is_allowed(name) else "")


def files_agree(expression: str, licence_texts: list[str]) -> bool:
    """Whether a licence file is there and each allowed arm the files show is one the metadata names."""
    shown = {kind for text in licence_texts for kind in _kinds_in(text)}
    named = set(re.findall(r"[\w.-]+", expression)) - {"AND", "OR"}
    named = {"BSD" if name.startswith("BSD") else name for name in named}
    named = {"MIT" if name == "MIT-0" else name for name in named}
    return bool(shown & named)


def _kinds_in(text: str) -> set[str]:
    folded = " ".join(text.lower().replace(",", ",").split())
    folded = folded.replace("apache license, version", "apache license version")
    return {kind for kind, phrase in _PHRASES.items() if phrase in folded}


def file_agrees(source: str) -> bool:
    """Whether a source file names no licence outside the allowed ones."""
    identifier = _IDENTIFIER.search(source)
    if identifier and not is_allowed(identifier[1].strip().rstrip("*/ ")):
        return False
    head = source[:6000]
    if _OTHER_LICENCE.search(head):
        return False
    return all(_KNOWN_NAME.search(name) for name in _DISTRIBUTED_UNDER.findall(head))
