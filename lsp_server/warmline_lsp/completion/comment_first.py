"""Generates a comment that says what comes next, and then the code below it.

Source: the decoding half of MANGO (arXiv:2404.07549); the model is not trained for it.
"""

from __future__ import annotations

from dataclasses import replace

from warmline_protocol.text.line_ends import with_breaks_of

from .engine_requests import EngineRequests
from .query import SuggestionQuery, Target

_HASH_COMMENTS = frozenset(
    ("python", "ruby", "shellscript", "perl", "r", "yaml", "toml", "makefile", "dockerfile")
)
_DASH_COMMENTS = frozenset(("lua", "sql", "haskell"))  # all others take two slashes


async def comment_and_code(requests: EngineRequests, query: SuggestionQuery) -> str:
    """The comment, and the code if there is any; empty without a comment."""
    document, offset, line = query.document, query.offset, query.line_before
    # the comment was requested, whatever the settings say of comments
    settings = replace(query.settings, inside_comments=True, inside_strings=True)
    query = replace(query, settings=settings)
    indent = line[: len(line) - len(line.lstrip())]
    lead = (f"\n{indent}" if line.strip() else "") + comment_mark(document.language) + " "
    lead = with_breaks_of(document.text, offset, lead)
    one_line = replace(query, settings=replace(settings, multi_line=False))
    found = await requests.fetch(one_line, Target(offset, lead), 0.0, "comment", force_base=True)
    if not found.items:
        return ""
    comment = lead + found.items[0].text.splitlines()[0].rstrip()
    line_break = with_breaks_of(document.text, offset, "\n" + indent)
    target = Target(offset, comment + line_break)
    code = await requests.fetch(query, target, 0.0, "code", force_base=True)
    return comment + line_break + code.items[0].text if code.items else comment


def comment_mark(language: str) -> str:
    """The mark that begins a comment to the end of a line."""
    return "#" if language in _HASH_COMMENTS else "--" if language in _DASH_COMMENTS else "//"
