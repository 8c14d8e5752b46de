"""Options of the engine: settings in an editor, arguments on the engine's command line.

The server turns them into arguments and the engine parses these, so both sides use this one definition. Minimum and
maximum hold for settings only: on the command line any number is accepted.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from typing import Any

from .model_names import typed
from .setting import Setting, setting, settings_of


@dataclass(frozen=True)
class EngineOptions:
    """How an engine runs. Windows with equal options share one engine."""

    model: str = setting(
        "base",
        "The model: an embedded one (`base`, or `small` for slow machines), a Hugging Face id, or a folder with "
        "safetensors files (an absolute path, or one that starts with `~`).",
        restarts=True, is_restricted=True, is_model=True,
    )  # fmt: skip
    small_model: str = setting(
        "",
        "A smaller model of the same family that works together with `model`. Takes the same values as `model`. "
        "Empty: none.",
        restarts=True, is_restricted=True, is_model=True,
    )  # fmt: skip
    switching: str = setting(
        "off",
        "When the small model answers. `off`: never, it only drafts tokens for the model to verify. `entropy`: while "
        "it is certain. `deadline`: when the model would be too late.",
        ("off", "entropy", "deadline"), restarts=True,
    )  # fmt: skip
    switch_above: float = setting(
        1.0,
        "For `entropy`: the model takes over when the small model's mean entropy exceeds this many bits.",
        minimum=0, maximum=20, restarts=True, is_whole=False,
    )  # fmt: skip
    switch_goal: str = setting(
        "none",
        "For `entropy`: adjust `switchAbove` while you type to reach a goal. `share`: the share of tokens in "
        "`switchShare`. `time`: the answer time in `switchWithinMs`. `none`: do not adjust it.",
        ("none", "share", "time"), restarts=True,
    )  # fmt: skip
    switch_share: float = setting(
        0.5,
        "For `switchGoal` `share`: the share of tokens that the model chooses.",
        minimum=0, maximum=1, restarts=True, is_whole=False,
    )  # fmt: skip
    switch_window: int = setting(
        5,
        "For `entropy`: the number of tokens that the mean is taken over.",
        minimum=1, maximum=100, restarts=True,
    )  # fmt: skip
    switch_dwell: int = setting(
        10,
        "For `entropy`: the minimum number of tokens between two switches.",
        minimum=1, maximum=100, restarts=True,
    )  # fmt: skip
    switch_within_ms: int = setting(
        150,
        "For `deadline`: show the small model's answer if the model needs longer than this, in milliseconds. The "
        "model's answer replaces it later if it differs. For `switchGoal` `time`: the goal.",
        minimum=10, maximum=10000, restarts=True,
    )  # fmt: skip
    device: str = setting(
        "auto",
        "The device that runs the model. `auto`: a GPU if there is one.",
        ("auto", "cpu", "cuda"), restarts=True, is_restricted=True, has_open_choices=True,
    )  # fmt: skip
    dtype: str = setting(
        "auto",
        "Number format of the weights. On a CPU, `int8` and `int4` speed up decoding; prefill still uses bfloat16.",
        ("auto", "float32", "bfloat16", "int8", "int4"), restarts=True,
    )  # fmt: skip
    low_memory: bool = setting(
        False,
        "Keep the weights in one number format only. Saves memory, but large models answer more slowly.",
        restarts=True,
    )  # fmt: skip
    threads: int = setting(
        0,
        "CPU threads of the engine. `0`: leave one core free and use as many of the others as are fastest.",
        minimum=0, maximum=256, restarts=True,
    )  # fmt: skip
    context_tokens: int = setting(
        8192,
        "Maximum number of tokens of a file in the cache.",
        minimum=256, maximum=131072, restarts=True,
    )  # fmt: skip
    cache_mebibytes: int = setting(
        1024,
        "Memory for the caches of all open files, in MiB.",
        minimum=64, maximum=262144, restarts=True,
    )  # fmt: skip
    idle_exit_minutes: float = setting(
        15,
        "The engine exits after no window has used it for this many minutes.",
        minimum=0.05, maximum=1440, restarts=True, is_whole=False,
    )  # fmt: skip

    def to_arguments(self) -> list[str]:
        """The command-line arguments that `from_arguments` reads back as these options."""
        arguments: list[str] = []
        for option in ENGINE_OPTIONS:
            value = getattr(self, option.field_name)
            if isinstance(option.default, bool):
                arguments += [option.flag] if value else []
            else:
                # one argument: a value that starts with a dash is no flag
                arguments.append(f"{option.flag}={value}")
        return arguments

    @classmethod
    def from_arguments(cls, parsed: argparse.Namespace) -> EngineOptions:
        """The options that a parser with `add_arguments` has parsed."""
        return cls(**{o.field_name: getattr(parsed, o.field_name) for o in ENGINE_OPTIONS})

    @classmethod
    def of(cls, settings: EngineOptions) -> EngineOptions:
        """The engine's options among settings that extend them."""
        return cls(**{o.field_name: getattr(settings, o.field_name) for o in ENGINE_OPTIONS})


ENGINE_OPTIONS = settings_of(EngineOptions)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds one argument for each option."""
    for option in ENGINE_OPTIONS:
        if isinstance(option.default, bool):
            parser.add_argument(option.flag, action="store_true", help=_help(option))
            continue
        parser.add_argument(
            option.flag,
            type=_type(option),
            default=option.default,
            choices=None if option.has_open_choices else option.choices or None,
            metavar=None if option.choices and not option.has_open_choices else _metavar(option),
            help=f"{_help(option)} (default: {option.default!r})",
        )


def _type(option: Setting) -> Any:
    if option.is_model:
        return typed
    if isinstance(option.default, str):
        return str
    return int if option.is_whole else float


def _metavar(option: Setting) -> str:
    if option.is_model:
        return "MODEL"
    return option.name.upper() if isinstance(option.default, str) else "N"


def _help(option: Setting) -> str:
    """The description as plain text, with flags in place of settings' names."""
    flags = {one.name: one.flag for one in ENGINE_OPTIONS}
    quoted = re.sub(r"`([^`]*)`", lambda match: flags.get(match[1], match[1]), option.description)
    # argparse's own texts start in lower case; abbreviations stay
    first = quoted[0] if quoted[1].isupper() else quoted[0].lower()
    return (first + quoted[1:]).replace("%", "%%").removesuffix(".")
