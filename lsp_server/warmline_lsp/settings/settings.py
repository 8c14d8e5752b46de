"""All settings, and their values from a client's options, any of which may be missing or wrong.

`Settings` is the one definition of all settings; package.json and docs/settings.md are generated from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from warmline_protocol.engine_options import EngineOptions
from warmline_protocol.exclusion import SECRETS, is_excluded
from warmline_protocol.exclusion import problems as problems_of_globs
from warmline_protocol.setting import setting, settings_of

from .checks import MAX_PROBLEMS, checked, nearest, shown
from .options import ShapeError, named


@dataclass(frozen=True)
class Settings(EngineOptions):
    """The values of all settings: those of the engine, and those defined here."""

    remote_engine: str = setting(
        "",
        "An engine on another machine: `tls://host:port`, or `127.0.0.1:port` at the end of an `ssh -L` tunnel. It "
        "gets the text of your files. It uses its own model, device and caches, and sees only open files, so "
        "`retrieval` has no effect. Empty: an engine on this machine.",
        restarts=True, is_of_machine=True,
    )  # fmt: skip
    remote_engine_ca: str = setting(
        "",
        "For `tls://`: a PEM file with the only certificate authority to trust (an absolute path, or one that starts "
        "with `~`). Empty: those of the system.",
        restarts=True, is_of_machine=True, is_path=True,
    )  # fmt: skip
    enable: bool = setting(True, "Offer completions.")
    # each instance gets a new dictionary
    languages: dict[str, bool] = setting(  # noqa: RUF009
        {},
        "Turn languages on or off by id, for example `{\"python\": false}`. `*` stands for every language without an "
        "entry. `true` also serves languages that the model's card does not list. By default a model without a card "
        "serves programming languages only.",
        is_of_folder=True,
    )  # fmt: skip
    disabled_globs: tuple[str, ...] = setting(
        (),
        "Files without completions. Their text can still help in other files. Same syntax as `excludedGlobs`.",
        is_of_folder=True,
    )  # fmt: skip
    excluded_globs: tuple[str, ...] = setting(
        SECRETS,
        "Files whose text the engine never gets, as glob patterns like those of `.gitignore`. An excluded folder "
        "excludes all files below it. Your list replaces the default; a workspace's list is added to yours.",
        is_restricted=True, is_of_folder=True,
    )  # fmt: skip
    mode: str = setting(
        "automatic",
        "`automatic`: complete while you type. `onRequest`: complete only when you ask.",
        ("automatic", "onRequest"),
    )  # fmt: skip
    retrieval: bool = setting(
        True, "Search the other files of the workspace for relevant code and show it to the model."
    )
    max_tokens: int = setting(
        96, "Maximum length of a completion, in tokens.", minimum=4, maximum=512
    )
    max_lines: int = setting(
        12, "Maximum length of a completion, in lines.", minimum=1, maximum=100
    )
    multi_line: bool = setting(True, "Complete whole blocks, not only the rest of the line.")
    alternatives: int = setting(
        1, "The number of completions to compute when you ask for them.", minimum=1, maximum=5
    )
    alternatives_by: str = setting(
        "branching",
        "How alternatives are found. `branching`: they depart from the first completion where the model was least "
        "certain. `sampling`: they are sampled from the most likely tokens. `mirostat`: they are sampled at a constant "
        "level of surprise.",
        ("branching", "sampling", "mirostat"),
    )  # fmt: skip
    contrast: str = setting(
        "off",
        "When the model is uncertain, favour tokens that the other files of the workspace make more likely. Compare "
        "the predictions with and without these files by the `difference` or by the `ratio` of probabilities.",
        ("off", "difference", "ratio"),
    )  # fmt: skip
    show_unsure: bool = setting(False, "Also show completions that the model considers unlikely.")
    debounce_ms: int = setting(
        40,
        "Maximum time to wait for a pause in typing, in milliseconds.",
        minimum=0, maximum=2000,
    )  # fmt: skip
    deadline_ms: int = setting(
        2500,
        "Maximum time for a completion, in milliseconds. Then the part that is ready is shown.",
        minimum=50, maximum=60000,
    )  # fmt: skip
    inside_comments: bool = setting(True, "Complete inside comments.")
    inside_strings: bool = setting(True, "Complete inside strings.")

    def engine_options(self) -> tuple[object, ...]:
        """The values in which two windows must agree to share an engine."""
        return tuple(getattr(self, s.field_name) for s in SETTINGS if s.restarts)

    def is_excluded(self, uri: str, root: str = "") -> bool:
        """Whether the engine must not get a document's text; `root` is the workspace folder, or empty."""
        return is_excluded(_path(uri), self.excluded_globs, _rooted(root))

    def is_disabled(self, uri: str, root: str = "") -> bool:
        """Whether a document gets no completions. The engine may still see its text."""
        return is_excluded(_path(uri), self.disabled_globs, _rooted(root))


SETTINGS = settings_of(Settings)
# settings that clients use themselves but send as well
OF_CLIENTS = frozenset(("command", "environment", "trace", "editorInfo", "editorPluginInfo"))
_BY_NAME = {one.name: one for one in SETTINGS}
_NAMES = frozenset((*_BY_NAME, *OF_CLIENTS))


def is_for_us(options: object) -> bool:
    """Whether options are meant for Warmline, not for other programs. True for options of a wrong shape."""
    try:
        return named(options, _NAMES) is not None
    except ShapeError:
        return True


def resolve(options: object) -> tuple[Settings, list[str]]:
    """Settings from options in any of the shapes of `options.py`, and the problems found.

    The default replaces a wrong value. Problems name settings, never values.
    """
    try:
        values = named(options, _NAMES) or {}
    except ShapeError as error:
        return Settings(), [str(error)]
    valid: dict[str, Any] = {}
    problems: list[str] = []
    unknown: list[str] = []
    for name, value in values.items():
        if name.partition(".")[0] in OF_CLIENTS:
            continue
        one = _BY_NAME.get(name)
        if one is None:
            unknown.append(name)
        elif value is not None:
            taken, wrong = checked(one, value)
            problems += [f"setting {name!r}: {problem}" for problem in wrong]
            if taken is not None:
                valid[one.field_name] = taken
            if taken is not None and name.endswith("Globs"):
                problems += [f"setting {name!r}: {problem}" for problem in problems_of_globs(taken)]
    return Settings(**valid), [*_unknown(unknown), *problems]


def _unknown(names: list[str]) -> list[str]:
    problems = [
        f"setting {shown(n)} is unknown{nearest(n, _BY_NAME)}" for n in names[:MAX_PROBLEMS]
    ]
    n_more = len(names) - len(problems)
    return [*problems, *([f"{n_more} more settings are unknown"] if n_more else [])]


def _rooted(root: str) -> str:
    return Path(root).as_posix() if root else ""


def _path(uri: str) -> str:
    return unquote(urlsplit(uri).path) or uri
