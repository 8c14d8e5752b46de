"""Checks a tokenizer.json before it is used: its patterns could run for hours, and its steps multiply a text.

The regular expressions in it are run by a backtracking engine, on every text. Those that could take exponential time
are refused: a group that is repeated without a limit and has inside it another such repetition, or alternatives.
"""

from __future__ import annotations

import re
from typing import Any

from warmline_engine.errors import TokenizerError
from warmline_engine.model.hub.reading import shown

MAX_TOKEN_ID = 1 << 22
MAX_STEPS = 16  # of a normalizer, pre-tokenizer or decoder
MAX_DEPTH = 4  # of sequences in sequences
MAX_PATTERN = 4096  # characters
MAX_REPLACEMENT = 4  # characters
NORMALIZERS = (
    "Sequence", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "Prepend", "Replace",
)  # fmt: skip

# escapes, classes (which may nest), the start of a group, its end and what repeats without a limit
_PIECE = re.compile(
    r"\\[pPxuk]\{[^}]*\}|\\.|(?P<cls>\[)|(?P<open>\((?:\?(?:[imsx-]*:|<?[=!]|>|<\w+>))?)|(?P<close>\))"
    r"|(?P<rep>[*+]|\{\d*,\})|(?P<alt>\|)|.",
    re.DOTALL,
)


def check(description: dict[str, Any]) -> None:
    """Whether a tokenizer's description is of the expected form.

    Raises: TokenizerError.
    """
    added = description.get("added_tokens") or []
    if not isinstance(added, list):
        raise TokenizerError("tokenizer.json: added_tokens is not a list")
    for token in added:
        is_token = isinstance(token, dict) and isinstance(token.get("content"), str)
        token_id = token.get("id") if is_token else None
        if type(token_id) is not int or not 0 <= token_id < MAX_TOKEN_ID:
            raise TokenizerError(f"tokenizer.json: {shown(token)} is not an added token")
    model = description.get("model")
    if not isinstance(model, dict):
        raise TokenizerError("tokenizer.json has no model")
    if model.get("dropout"):
        raise TokenizerError("tokenizer.json: dropout makes tokenization random; it must be null")
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict):
        for token_id in vocabulary.values():
            if type(token_id) is not int or not 0 <= token_id < MAX_TOKEN_ID:
                raise TokenizerError(f"tokenizer.json: {shown(token_id)} is not a token id")
    for part, inner in (
        ("normalizer", "normalizers"),
        ("pre_tokenizer", "pretokenizers"),
        ("decoder", "decoders"),
    ):
        step = description.get(part)
        if step is not None:
            steps = _steps(step, part, inner, MAX_DEPTH)
            if len(steps) > MAX_STEPS:
                raise TokenizerError(f"tokenizer.json: {part} has more than {MAX_STEPS} steps")
            for one in steps:
                _check_step(one, part)


def is_explosive(pattern: str) -> bool:
    """Whether a regular expression may take exponential time.

    Cost: one step for each character.
    """
    # for each open group: whether there is an unlimited repetition or an alternative inside
    groups = [False]
    closed: bool | None = None  # what the group that ended just now had inside
    at = 0
    while at < len(pattern):
        found = _PIECE.match(pattern, at)
        assert found is not None
        at = found.end()
        kind, last_closed, closed = found.lastgroup, closed, None
        if kind == "cls":
            at = _behind_class(pattern, at)
        elif kind == "open":
            groups.append(False)
        elif kind == "close" and len(groups) > 1:
            closed = groups.pop()
            groups[-1] |= closed
        elif kind == "rep":
            if last_closed:
                return True
            groups[-1] = True
        elif kind == "alt":
            groups[-1] = True
    return False


def _behind_class(pattern: str, at: int) -> int:
    """Where a character class ends whose bracket was before `at`."""
    depth = 1
    if pattern[at : at + 1] == "^":
        at += 1
    if pattern[at : at + 1] == "]":  # right behind the bracket it stands for itself
        at += 1
    while at < len(pattern) and depth:
        if pattern[at] == "\\":
            at += 1
        elif pattern[at] == "[":
            depth += 1
        elif pattern[at] == "]":
            depth -= 1
        at += 1
    return at


def _steps(step: object, part: str, inner: str, depth: int) -> list[dict[str, Any]]:
    """The steps of a sequence, or the one there is."""
    if not isinstance(step, dict) or not isinstance(step.get("type"), str) or depth == 0:
        raise TokenizerError(f"tokenizer.json: {part} does not have the expected form")
    inside = step.get(inner)
    if inside is None:
        return [step]
    if not isinstance(inside, list) or len(inside) > MAX_STEPS:
        raise TokenizerError(f"tokenizer.json: {part} has more than {MAX_STEPS} steps")
    return [found for one in inside for found in _steps(one, part, inner, depth - 1)]


def _check_step(step: dict[str, Any], part: str) -> None:
    if part == "normalizer" and step["type"] not in NORMALIZERS:
        raise TokenizerError(
            f"tokenizer.json: the normalizer {shown(step['type'])} is not supported"
        )
    for name in ("content", "prepend", "replacement"):
        text = step.get(name, "")
        if not isinstance(text, str) or len(text) > MAX_REPLACEMENT:
            raise TokenizerError(
                f"tokenizer.json: {part} may insert at most {MAX_REPLACEMENT} characters at a time"
            )
    pattern = step.get("pattern", "")
    if isinstance(pattern, dict):
        pattern = pattern.get("Regex", pattern.get("String", ""))
    if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN or is_explosive(pattern):
        raise TokenizerError(
            f"tokenizer.json: a pattern of {part} is too long, or could take exponential time"
        )
