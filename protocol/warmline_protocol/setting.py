"""A setting, defined once as a field of a frozen dataclass.

`setting(default, description, …)` makes such a field; `settings_of(cls)` lists the settings of a dataclass. The
editor's settings, docs/settings.md and the engine's command line are generated from that list.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Setting:
    """One setting: its name in the editor, its default, its permitted values and its description.

    The description is Markdown; names of other settings and values stand in backticks.
    """

    name: str
    default: Any
    description: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    # a change needs another engine
    restarts: bool = False
    # a number without a fraction
    is_whole: bool = True
    # a workspace may not set it
    is_of_machine: bool = False
    # only a trusted workspace may set it
    is_restricted: bool = False
    # each folder may have its own value, but not each language
    is_of_folder: bool = False
    # an absolute path: a relative one would depend on the editor's current folder
    is_path: bool = False
    # a name, an id or an absolute path
    is_model: bool = False
    # the command line takes values beyond the choices too, such as cuda:1
    has_open_choices: bool = False

    @property
    def field_name(self) -> str:
        """The name in Python, such as `max_tokens` for `maxTokens`."""
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in self.name)

    @property
    def flag(self) -> str:
        """The name on a command line, such as `--max-tokens` for `maxTokens`."""
        return "--" + self.field_name.replace("_", "-")


def setting(default: Any, description: str, choices: tuple[str, ...] = (), **traits: Any) -> Any:
    """A dataclass field that is a setting; `traits` are further fields of `Setting`."""
    metadata = {"setting": (default, description, choices, traits)}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def settings_of(cls: Any) -> tuple[Setting, ...]:
    """The settings that a dataclass defines, those of its bases first."""
    found: list[Setting] = []
    for one in fields(cls):
        first, *others = one.name.split("_")
        name = first + "".join(part.capitalize() for part in others)
        default, description, choices, traits = one.metadata["setting"]
        found.append(Setting(name, default, description, choices, **traits))
    return tuple(found)
