"""Checks the values that a client sent. Problems never contain a value."""

from __future__ import annotations

import math
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, cast
from unicodedata import category

from warmline_protocol.model_names import is_id, is_plain_name, is_whole
from warmline_protocol.setting import Setting

from .languages import EVERY, KNOWN

# per kind
MAX_PROBLEMS = 10
_MAX_SHOWN, _MAX_COMPARED = 40, 60  # characters of a name
_MAX_TEXT = 4096  # characters of a value: longer than any path


def checked(setting: Setting, value: object) -> tuple[Any, list[str]]:
    """The value to use (None: the default), and the problems of the client's value."""
    default = setting.default
    if isinstance(default, dict):
        return _languages(value)
    if isinstance(default, tuple):
        return _globs(cast(tuple[str, ...], default), value)
    problem = _problem(setting, value)
    if problem:
        return None, [f"{problem}; using the default, {default!r}"]
    if isinstance(value, float) and setting.is_whole:
        return int(value), []
    return value, []


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint at the most similar valid name; empty if no name is similar."""
    near = get_close_matches(name[:_MAX_COMPARED], names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def shown(name: str) -> str:
    """A name from the client, shortened and quoted for the log."""
    return repr(name if len(name) <= _MAX_SHOWN else name[:_MAX_SHOWN] + "…")


def _problem(setting: Setting, value: object) -> str:
    default = setting.default
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else f"expected true or false, got {_kind(value)}"
    if isinstance(default, int | float):
        return _number_problem(setting, value)
    if not isinstance(value, str):
        return f"expected {_choices(setting)}, got {_kind(value)}"
    if setting.choices:
        is_valid = value in setting.choices
        return "" if is_valid else f"expected {_choices(setting)}{nearest(value, setting.choices)}"
    if not _is_text(value):
        return "expected text without control characters that is not too long"
    return _path_problem(setting, value)


def _path_problem(setting: Setting, value: str) -> str:
    if not (setting.is_path or setting.is_model) or value == setting.default or is_whole(value):
        return ""
    if setting.is_path:
        return "expected an absolute path or one that starts with ~"
    if is_id(value) or is_plain_name(value):
        return ""
    return (
        "expected the name of an embedded model, an id like 'owner/name', or a folder (an absolute path or one that "
        "starts with ~)"
    )


def _number_problem(setting: Setting, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"expected a number, got {_kind(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        return "expected a finite number"
    if setting.is_whole and value != int(value):
        return "expected a whole number"
    minimum = -math.inf if setting.minimum is None else setting.minimum
    maximum = math.inf if setting.maximum is None else setting.maximum
    return "" if minimum <= value <= maximum else f"expected {minimum} to {maximum}"


def _languages(value: object) -> tuple[dict[str, bool] | None, list[str]]:
    if not isinstance(value, dict):
        return None, [
            f"expected language ids with true or false, got {_kind(value)}; using the default"
        ]
    entries = cast(dict[str, object], value)
    valid = {name: v for name, v in entries.items() if isinstance(v, bool)}
    wrong = [name for name in entries if name not in valid]
    unknown = [name for name in valid if name != EVERY and name not in KNOWN]
    problems = [
        f"expected language ids with true or false; ignoring {shown(name)}" for name in wrong
    ]
    problems += [
        f"{shown(name)} is not a known language id{nearest(name, KNOWN)}"
        for name in unknown[:MAX_PROBLEMS]
    ]
    return valid, problems[:MAX_PROBLEMS]


def _globs(default: tuple[str, ...], value: object) -> tuple[tuple[str, ...] | None, list[str]]:
    if not isinstance(value, list):
        return None, [f"expected a list of globs, got {_kind(value)}; using the default"]
    entries = cast(list[object], value)
    valid = tuple(glob for glob in entries if isinstance(glob, str) and _is_text(glob))
    if len(valid) == len(entries):
        return valid, []
    # add the default: a wrong entry may have been meant to protect a file
    problem = "expected a list of globs; ignoring other entries and adding the default"
    return tuple(dict.fromkeys((*valid, *default))), [problem]


def _is_text(value: str) -> bool:
    """Whether text can be encoded and be part of a path: no control characters, no lone surrogates."""
    return len(value) <= _MAX_TEXT and all(category(c) not in ("Cc", "Cs") for c in value)


def _choices(setting: Setting) -> str:
    return " or ".join(map(repr, setting.choices)) or "text"


def _kind(value: object) -> str:
    kinds: dict[type, str] = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
    }
    return kinds.get(type(value), "an object")
