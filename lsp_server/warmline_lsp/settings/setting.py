"""What a setting is; `settings.py` has the table of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Setting:
    """One setting: its name in the editor, its default, what it may be and what it does."""

    name: str
    default: Any
    description: str
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    restarts: bool = False  # a change needs another engine
    is_whole: bool = True  # of a number: none with a fraction
    is_of_machine: bool = False  # no workspace may set it
    is_restricted: bool = False  # a workspace may set it once it is trusted
    is_of_folder: bool = False  # a folder may have its own, a language has none
    # a whole path: where another one begins would depend on the editor
    is_path: bool = False
    is_model: bool = False  # a name, an id or a whole path
