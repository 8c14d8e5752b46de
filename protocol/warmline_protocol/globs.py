"""Globs as git matches them, in time linear in the length of the path: one bit-parallel automaton, no backtracking.

`*`, `?` and `[...]` match no `/`; `**/`, `/**/` and `/**` match any folders. Bit k of a state says that the first k
tokens have matched; a star is a loop on a bit.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_GLOB = 1_024  # characters
MAX_ALTERNATIVES = 256  # of one glob, by its braces
_MAX_NESTED = 16  # braces in braces
_MAX_KEPT = 512  # characters whose transitions are kept
_SPECIAL = frozenset("*?[\\")
_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_DIGITS, _LOWER, _UPPER = "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CLASSES = {
    "alnum": _DIGITS + _LOWER + _UPPER,
    "alpha": _LOWER + _UPPER,
    "blank": " \t",
    "cntrl": "".join(map(chr, [*range(32), 127])),
    "digit": _DIGITS,
    "graph": _DIGITS + _LOWER + _UPPER + _PUNCTUATION,
    "lower": _LOWER,
    "print": _DIGITS + _LOWER + _UPPER + _PUNCTUATION + " ",
    "punct": _PUNCTUATION,
    "space": " \t\n\r\f\v",
    "upper": _UPPER,
    "xdigit": _DIGITS + "abcdefABCDEF",
}


class GlobError(ValueError):
    """A glob that can match nothing, or is too long."""


class Glob:
    """A compiled glob.

    Raises: GlobError.
    """

    def __init__(self, text: str, ignores_case: bool = False) -> None:
        if not text:
            raise GlobError("it is empty")
        if len(text) > MAX_GLOB:
            raise GlobError(f"it has more than {MAX_GLOB} characters")
        self._ignores_case = ignores_case
        parser = _Parser(text.lower() if ignores_case else text, ignores_case)
        parser.parse()
        self._parser = parser
        self._literal = parser.longest_literal()
        self._accept = 1 << parser.n_tokens
        self._start = self._closed(1)
        self._transitions: dict[str, tuple[int, int]] = {}

    def matches(self, path: str) -> bool:
        """Whether the whole path matches."""
        if self._ignores_case:
            path = path.lower()
        if self._literal not in path:
            return False
        state = self._start
        for character in path:
            state = self._next(state, character)
            if not state:
                return False
        return bool(state & self._accept)

    def matches_or_holds(self, path: str, only_folders: bool, is_folder: bool) -> bool:
        """Whether the path or a folder that it lies in matches."""
        if self._ignores_case:
            path = path.lower()
        if self._literal not in path:
            return False
        state = self._start
        for character in path:
            if character == "/" and state & self._accept:
                return True
            state = self._next(state, character)
            if not state:
                return False
        return bool(state & self._accept) and (is_folder or not only_folders)

    def _next(self, state: int, character: str) -> int:
        known = self._transitions.get(character)
        if known is None:
            known = self._parser.transition(character)
            if len(self._transitions) < _MAX_KEPT:
                self._transitions[character] = known
        advancing, staying = known
        # only where a `**/` begins may it match nothing, not after some of its folders' characters
        return self._closed((state & advancing) << 1) | state & staying

    def _closed(self, state: int) -> int:
        return state | (state & self._parser.skips) << 1


def alternatives(text: str) -> list[str]:
    """The globs that a glob with braces stands for: `{a,b}.txt` for a.txt and b.txt; nested ones too.

    An unbalanced brace, an escaped one and one between brackets stand for themselves.

    Raises: GlobError, when there are too many.
    """
    if len(text) > MAX_GLOB:
        raise GlobError(f"it has more than {MAX_GLOB} characters")
    if "{" not in text:
        return [text]
    whole, _ = _expanded(text, _braces(text), 0, len(text))
    return list(dict.fromkeys(whole))


def _braces(text: str) -> dict[int, list[int]]:
    """Where each balanced brace opens, with the places of its commas and of its end."""
    found: dict[int, list[int]] = {}
    opened: list[tuple[int, list[int]]] = []
    k = 0
    while k < len(text):
        if text[k] == "\\":
            k += 1
        elif text[k] == "[" and (end := text.find("]", k + 2)) >= 0 and end - k < 32:
            k = end
        elif text[k] == "{":
            opened.append((k, []))
            if len(opened) > _MAX_NESTED:
                raise GlobError(f"it nests more than {_MAX_NESTED} braces")
        elif text[k] == "," and opened:
            opened[-1][1].append(k)
        elif text[k] == "}" and opened:
            start, commas = opened.pop()
            found[start] = [*commas, k]
        k += 1
    return found


def _expanded(
    text: str, braces: dict[int, list[int]], begin: int, end: int
) -> tuple[list[str], int]:
    made, k, plain = [""], begin, begin
    while k < end:
        if k not in braces:
            k += 1
            continue
        head = text[plain:k]
        ways: list[str] = []
        start = k + 1
        for stop in braces[k]:
            ways += _expanded(text, braces, start, stop)[0]
            start = stop + 1
        if len(made) * len(ways) > MAX_ALTERNATIVES:
            raise GlobError(f"its braces stand for more than {MAX_ALTERNATIVES} globs")
        made = [one + head + way for one in made for way in ways]
        k = plain = braces[k][-1] + 1
    return [one + text[plain:end] for one in made], k


@dataclass(frozen=True)
class _Set:
    """Characters between brackets."""

    bit: int
    negated: bool
    characters: frozenset[str]
    ranges: tuple[tuple[str, str], ...]

    def has(self, character: str) -> bool:
        inside = character in self.characters or any(a <= character <= b for a, b in self.ranges)
        return inside != self.negated


class _Parser:
    """A glob's tokens, as masks over the bits of the state."""

    def __init__(self, text: str, ignores_case: bool) -> None:
        self._text, self._ignores_case = text, ignores_case
        self.n_tokens = 0
        self.skips = 0  # `**/` may match nothing
        self._literals: dict[str, int] = {}
        self._any_but_slash = 0  # `?`
        self._sets: list[_Set] = []
        self._name_loops, self._path_loops = 0, 0  # `*` and `**`
        self._runs: list[str] = [""]

    def transition(self, character: str) -> tuple[int, int]:
        """The bits that a character moves on, and those that it leaves where they are."""
        advancing = self._literals.get(character, 0)
        if character == "/":
            return advancing, self._path_loops
        advancing |= self._any_but_slash
        for one in self._sets:
            if one.has(character):
                advancing |= one.bit
        return advancing, self._path_loops | self._name_loops

    def longest_literal(self) -> str:
        """A part that each match has."""
        return max(self._runs, key=len)

    def parse(self) -> None:
        text = self._text
        # git compares what stands before the first special character by itself, and `**` right behind it
        # counts as one that begins the glob
        first = next((k for k, character in enumerate(text) if character in _SPECIAL), len(text))
        k = 0
        while k < len(text):
            if text[k] == "*":
                k = self._stars(k, k in (0, first) or text[k - 1] == "/")
            elif text[k] == "?":
                self._any_but_slash |= self._token()
                k += 1
            elif text[k] == "[":
                k = self._brackets(k)
            else:
                k += text[k] == "\\"
                if k == len(text):
                    raise GlobError("it ends with a backslash")
                self._literal(text[k])
                k += 1

    def _stars(self, k: int, is_at_border: bool) -> int:
        text, end = self._text, k
        while end < len(text) and text[end] == "*":
            end += 1
        self._runs.append("")
        bit = 1 << self.n_tokens
        is_before_slash = text.startswith("/", end)
        is_alone = end == len(text) or is_before_slash or text.startswith("\\/", end)
        if end - k == 1 or not is_at_border or not is_alone:
            self._name_loops |= bit
            return end
        if not is_before_slash:
            self._path_loops |= bit
            return end
        if not self.skips & bit >> 1:  # else a second `**/` in a row, which adds nothing
            self._path_loops |= bit
            self.skips |= bit
            self._literals["/"] = self._literals.get("/", 0) | self._token()
        return end + 1

    def _brackets(self, k: int) -> int:
        """The set of characters that begins at k; returns where it ends."""
        text = self._text + "\0"
        k += 1
        negated = text[k] in "!^"
        k += negated
        characters: set[str] = set()
        ranges: list[tuple[str, str]] = []
        before = ""
        is_first = True
        while is_first or text[k] != "]":
            is_first = False
            one = text[k]
            if one == "\\":
                k += 1
                one = text[k]
                characters.add(one)
            elif one == "-" and before and text[k + 1] not in "]\0":
                k += 1 + (text[k + 1] == "\\")
                ranges.append((before, text[k]))
                one = "" if k < len(self._text) else "\0"
            elif one == "[" and text[k + 1] == ":":
                end = text.find("]", k + 2)
                if end < 0:
                    raise GlobError("it has a [ without its ]")
                if end < k + 3 or text[end - 1] != ":":
                    characters.add("[")
                else:
                    characters.update(self._class(text[k + 2 : end - 1]))
                    k, one = end, ""
            else:
                characters.add(one)
            if k >= len(self._text):
                raise GlobError("it has a [ without its ]")
            before = one
            k += 1
        made = _Set(self._token(), negated, frozenset(characters), tuple(ranges))
        self._sets.append(made)
        return k + 1

    def _class(self, name: str) -> str:
        if name not in _CLASSES:
            raise GlobError("it names an unknown class of characters")
        return _CLASSES["alpha" if name == "upper" and self._ignores_case else name]

    def _literal(self, character: str) -> None:
        run = self._runs[-1] + character
        self._literals[character] = self._literals.get(character, 0) | self._token()
        self._runs[-1] = run

    def _token(self) -> int:
        bit = 1 << self.n_tokens
        self.n_tokens += 1
        self._runs.append("")
        return bit
