"""Whether a value that a client sent is one that a setting may have. What is said of it never has the value."""

from __future__ import annotations

import math
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, cast
from unicodedata import category

from warmline_protocol.model_names import is_id, is_plain_name, is_whole

from .languages import EVERY, KNOWN
from .setting import Setting

MAX_PROBLEMS = 10  # of one kind that are spelt out
_MAX_SHOWN, _MAX_COMPARED = 40, 60  # characters of a name
_MAX_TEXT = 4096  # characters of a value: longer than any path


def checked(setting: Setting, value: object) -> tuple[Any, list[str]]:
    """The value to use, None for the default, and what is wrong with the one given."""
    default = setting.default
    if isinstance(default, dict):
        return _languages(value)
    if isinstance(default, list):
        return _globs(cast(list[str], default), value)
    problem = _problem(setting, value)
    if problem:
        return None, [f"{problem}; {default!r} is used"]
    if isinstance(value, float) and setting.is_whole:
        return int(value), []
    return value, []


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint at the valid name that is most like another; empty where none is."""
    near = get_close_matches(name[:_MAX_COMPARED], names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def shown(name: str) -> str:
    """A name that the client made, fit for a line of its log."""
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
        return "expected a text without control characters, not too long"
    return _path_problem(setting, value)


def _path_problem(setting: Setting, value: str) -> str:
    if not (setting.is_path or setting.is_model) or value == setting.default or is_whole(value):
        return ""
    if setting.is_path:
        return "expected an absolute path or one that starts with ~"
    if is_id(value) or is_plain_name(value):
        return ""
    return (
        "expected the name of an embedded model, an id like 'owner/name', or a folder by an absolute path or one that "
        "starts with ~"
    )


def _number_problem(setting: Setting, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"expected a number, got {_kind(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        return "expected a finite number"
    if setting.is_whole and value != int(value):
        return "expected a whole number"
    least = -math.inf if setting.least is None else setting.least
    most = math.inf if setting.most is None else setting.most
    return "" if least <= value <= most else f"expected {least} to {most}"


def _languages(value: object) -> tuple[dict[str, bool] | None, list[str]]:
    if not isinstance(value, dict):
        return None, [
            f"expected language ids with true or false, got {_kind(value)}; it is left out"
        ]
    given = cast(dict[str, object], value)
    good = {name: v for name, v in given.items() if isinstance(v, bool)}
    wrong = [name for name in given if name not in good]
    unknown = [name for name in good if name != EVERY and name not in KNOWN]
    problems = [
        f"expected language ids with true or false; {shown(name)} is left out" for name in wrong
    ]
    problems += [
        f"{shown(name)} is no language id that Warmline knows{nearest(name, KNOWN)}"
        for name in unknown[:MAX_PROBLEMS]
    ]
    return good, problems[:MAX_PROBLEMS]


def _globs(default: list[str], value: object) -> tuple[tuple[str, ...] | None, list[str]]:
    if not isinstance(value, list):
        return None, [f"expected a list of globs, got {_kind(value)}; the default is used"]
    given = cast(list[object], value)
    good = tuple(glob for glob in given if isinstance(glob, str) and _is_text(glob))
    if len(good) == len(given):
        return good, []
    # the default too: what was meant may be what must not be seen
    problem = "expected a list of globs; other entries are left out, and the default is added"
    return tuple(dict.fromkeys((*good, *default))), [problem]


def _is_text(value: str) -> bool:
    """Whether a text can be encoded and be part of a path: no control characters, no lone surrogates."""
    return len(value) <= _MAX_TEXT and all(category(c) not in ("Cc", "Cs") for c in value)


def _choices(setting: Setting) -> str:
    return " or ".join(map(repr, setting.choices)) or "a text"


def _kind(value: object) -> str:
    kinds: dict[type, str] = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
    }
    return kinds.get(type(value), "an object")
