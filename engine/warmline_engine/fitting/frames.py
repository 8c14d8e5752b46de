"""Answers a `Complete` frame from generated texts: refuses places, and fits the texts."""

from __future__ import annotations

from collections.abc import Sequence

from warmline_engine.syntax.lexical_context import LexicalContext, contexts_within, lexical_context
from warmline_engine.syntax.tree import Syntax
from warmline_protocol import wire

from .fit import Target, fit

MAX_EXCLUDED = 2_000  # characters of a completion in which excluded spans are looked for


def refusal(frame: wire.Complete, text: str, syntax: Syntax | None) -> str:
    """The reason to make no completion at a place, as a stop reason; empty where there is none.

    `text` still has the characters that the virtual text replaces.
    """
    if syntax is None or not 0 <= frame.offset <= len(text) or _allows_all(frame):
        return ""
    context = lexical_context(syntax, frame.offset, frame.virtual_text, frame.n_replaced)
    if context is None or not _excludes(frame, context):
        return ""
    return "in_comment" if context.is_comment else "in_string"


def items(
    frame: wire.Complete, text: str, syntax: Syntax | None, generated: Sequence[tuple[str, float]]
) -> tuple[wire.Item, ...]:
    """Generated texts, each with its mean log-probability, as they are suggested; empty and equal ones are left out.

    `text` lacks the characters that the virtual text replaces.
    """
    target = Target(text, frame.offset, frame.virtual_text, syntax)
    found: dict[str, wire.Item] = {}
    for completion, logprob in generated:
        fitted = fit(target, completion, frame.max_lines)
        if fitted and fitted not in found:
            found[fitted] = wire.Item(fitted, logprob, _excluded_spans(frame, syntax, fitted))
    return tuple(found.values())


def _excluded_spans(
    frame: wire.Complete, syntax: Syntax | None, completion: str
) -> tuple[int, ...]:
    """`wire.Item.excluded` of a fitted completion."""
    if syntax is None or _allows_all(frame) or len(completion) > MAX_EXCLUDED:
        return ()
    contexts = contexts_within(syntax, frame.offset, frame.virtual_text, completion) or []
    ends: list[int] = []
    for n_typed, context in enumerate(contexts, 1):
        if not _excludes(frame, context):
            continue
        if ends and ends[-1] == n_typed:
            ends[-1] = n_typed + 1
        else:
            ends += [n_typed, n_typed + 1]
    return tuple(ends)


def _allows_all(frame: wire.Complete) -> bool:
    return frame.inside_comments and frame.inside_strings


def _excludes(frame: wire.Complete, context: LexicalContext) -> bool:
    is_excluded_comment = context.is_comment and not frame.inside_comments
    return is_excluded_comment or (context.is_string and not frame.inside_strings)
