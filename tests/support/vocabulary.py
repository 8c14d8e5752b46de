"""Words of the project's former private language, which docs/glossary.md replaced."""

from __future__ import annotations

import re

# an underscore separates words, so that identifiers are found too
_WORDS = r"twins?|lame|barred|told|said|begun|nobody's|of ours|gives? way|says? again|makes? whole"
_START, _END = r"(?<![a-z])", r"(?![a-z])"
_PRIVATE = re.compile(rf"{_START}(?:{_WORDS}){_END}", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z])(?:Told|Said|Barred|Twin|Lame|Begun)(?![a-z])")
_LIMIT = re.compile(r"\b_?(?:MOST|LEAST)_[A-Z]\w*")
# file names and identifiers in documentation may be older than the glossary
_CODE = re.compile(r"```.*?```|`[^`\n]*`|\[[^\]\n]*\.json\]\([^)\n]*\)|\]\([^)\n]*\)", re.DOTALL)


def private_words(source: str) -> list[str]:
    """The private words in a source file: in names, comments, docstrings and messages."""
    return [found.group() for rule in (_PRIVATE, _CAMEL, _LIMIT) for found in rule.finditer(source)]


def private_words_of_page(page: str) -> list[str]:
    """The private words in the prose of a Markdown page."""
    return private_words(_CODE.sub("", page))
