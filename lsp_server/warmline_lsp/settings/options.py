"""Converts the shapes in which clients send settings to one: values by the names of settings."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Any, cast

SECTION = "warmline"
_WRAPPERS = (SECTION, "settings")
_MAX_NESTED = 4  # wrappers inside each other, as some clients send them


class ShapeError(Exception):
    """Settings are not an object."""


def named(options: object, known: Collection[str]) -> dict[str, Any] | None:
    """Values by name, out of `{name: value}`, `{"warmline": {…}}`, `{"warmline.name": value}` or `{"settings": {…}}`.

    If `warmline` occurs, unknown names next to it belong to other programs and are left out. None if no setting is
    for Warmline.
    Raises: ShapeError.
    """
    if options is None:
        return None
    return _named(options, known, _MAX_NESTED)


def _named(options: object, known: Collection[str], n_left: int) -> dict[str, Any] | None:
    if not isinstance(options, dict):
        raise ShapeError("settings: expected an object")
    entries = cast(dict[str, Any], options)
    wrapped = {name: entries[name] for name in _WRAPPERS if entries.get(name) is not None}
    if not isinstance(wrapped.get("settings", {}), dict) or n_left == 0:
        wrapped.pop("settings", None)
    dotted = {
        name.removeprefix(f"{SECTION}."): value
        for name, value in entries.items()
        if name.startswith(f"{SECTION}.")
    }
    is_marked = SECTION in entries or bool(dotted)
    plain = {
        name: value
        for name, value in entries.items()
        if name not in _WRAPPERS and not name.startswith(f"{SECTION}.")
        if name in known or not (is_marked or "settings" in wrapped)
    }
    if _is_of_others(plain, known):
        plain = {}
    found: dict[str, Any] = dict(plain)
    for value in wrapped.values():
        if n_left == 0:
            raise ShapeError("settings: nested too deeply")
        found |= _named(value, known, n_left - 1) or {}
    for name, value in dotted.items():
        _put(found, name, value, known)
    return found if found or not entries or is_marked else None


def _is_of_others(plain: dict[str, Any], known: Collection[str]) -> bool:
    """Whether all entries are sections of other programs, and none is a misspelt setting."""
    return not any(
        name in known or not isinstance(value, dict) or get_close_matches(name[:60], known, n=1)
        for name, value in plain.items()
    )


def _put(found: dict[str, Any], name: str, value: Any, known: Collection[str]) -> None:
    """Adds a setting, or an entry of a setting that is an object, such as `languages.python`."""
    setting, _, member = name.partition(".")
    if member and setting in known and isinstance(found.get(setting, {}), dict):
        found[setting] = {**found.get(setting, {}), member: value}
    else:
        found[name] = value
