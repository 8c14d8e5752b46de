"""Settings: what the client sent (options, any of them missing or wrong) made into settings (none missing).

SETTINGS is the one table of them; package.json and README are compared with it by a test.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from warmline_engine.exclusion import SECRETS, is_excluded
from warmline_engine.exclusion import problems as problems_of_globs


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


SETTINGS = (
    Setting("enable", True, "Offer completions."),
    Setting("languages", {}, 
            "Turn languages on or off by id: `{\"python\": false}`. `true` also serves one the model's card lacks.",
            is_of_folder=True),
    Setting("disabledGlobs", [],
            "Files in which completions are off; what they say may still help in other files. Matched as "
            "`excludedGlobs` are.", is_of_folder=True),
    Setting("mode", "automatic", "Complete while you type, or only when you ask.", ("automatic", "onRequest")),
    Setting("model", "base",
            "An embedded model (`base`; `small` for a slow machine), a folder with safetensors, or a Hugging Face id.",
            restarts=True, is_restricted=True),
    Setting("smallModel", "", "A smaller model of the same family that works with the model; empty: none.",
            restarts=True, is_restricted=True),
    Setting("switching", "off",
            "When the small model answers: `off` never, it drafts; `entropy` while it is certain; `deadline` where the "
            "model would be late.", ("off", "entropy", "deadline"), restarts=True),
    Setting("switchAbove", 1.0, "`entropy`: the mean uncertainty, in bits, above which the model takes over.",
            least=0, most=20, restarts=True, is_whole=False),
    Setting("switchGoal", "none", "`entropy`: what `switchAbove` is fitted to as you type: a `share` of tokens by the "
            "model, or the `time` of an answer; `none`: it stays.", ("none", "share", "time"), restarts=True),
    Setting("switchShare", 0.5, "`entropy`: the share of tokens that the model chooses, with `switchGoal` `share`.",
            least=0, most=1, restarts=True, is_whole=False),
    Setting("switchWindow", 5, "`entropy`: tokens that the mean is over.", least=1, most=100, restarts=True),
    Setting("switchDwell", 10, "`entropy`: tokens between two switches at least.", least=1, most=100, restarts=True),
    Setting("switchWithinMs", 150, "`deadline`: milliseconds that an answer of the model may take; it comes later in "
            "place of the small one's where they differ. `entropy`: the goal of `switchGoal` `time`.",
            least=10, most=10000, restarts=True),
    Setting("device", "auto", "Where the model runs.", ("auto", "cpu", "cuda"), restarts=True,
            is_restricted=True),
    Setting("dtype", "auto", "Number format of the weights. On a CPU `int8` and `int4` are for decoding, which they "
            "make faster; reading keeps bf16.", ("auto", "float32", "bfloat16", "int8", "int4"), restarts=True),
    Setting("lowMemory", False, "Keep weights in one number format only: less memory, slower answers of large models.",
            restarts=True),
    Setting(
        "threads", 0, "CPU threads of the engine; 0 leaves one core free and uses as many others as are fastest.",
        least=0, most=256, restarts=True,
    ),
    Setting("contextTokens", 8192, "Most tokens of a file in the cache.", least=256, most=131072, restarts=True),
    Setting("cacheMebibytes", 1024, "Memory for the caches of all open files.", least=64, most=262144, restarts=True),
    Setting("idleExitMinutes", 15, 
            "The engine ends when no window has used it for so long.", least=0.05, most=1440, restarts=True,
            is_whole=False),
    Setting("remoteEngine", "",
            "An engine on another machine, which then gets the text of your files: `tls://host:port`, or "
            "`127.0.0.1:port` where `ssh -L` leads there. It has a model, device and caches of its own, and "
            "`retrieval` does nothing: it sees no files of the workspace but the open ones. Empty: an engine on this "
            "machine.", restarts=True, is_of_machine=True),
    Setting("remoteEngineCa", "", "`tls://`: a file (PEM) with the one CA to trust. Empty: those of the system.",
            restarts=True, is_of_machine=True),
    Setting("retrieval", True,
            "Look through the other files of the workspace for what the cursor needs, and show it to the model."),
    Setting("maxTokens", 96, "Longest completion, in tokens.", least=4, most=512),
    Setting("maxLines", 12, "Longest completion, in lines.", least=1, most=100),
    Setting("multiLine", True, "Complete blocks, not only the rest of a line."),
    Setting("alternatives", 1, "How many completions to make when you ask for them.", least=1, most=5),
    Setting("alternativesBy", "branching", "Alternatives leave the first where it is least certain, or are drawn at "
            "random: from the likeliest tokens (`sampling`), or as surprising as `mirostat` keeps them.",
            ("branching", "sampling", "mirostat")),
    Setting("contrast", "off", "Where the model is uncertain, take off what it would say without the other files of "
            "the workspace: as a `difference` of probabilities, or as a `ratio`.", ("off", "difference", "ratio")),
    Setting("showUnsure", False, "Show completions that the model itself takes to be unlikely."),
    Setting("debounceMs", 40, "Wait for a pause in typing this long at most, in milliseconds.", least=0, most=2000),
    Setting("deadlineMs", 2500, "Answer with what there is after so many milliseconds.", least=50, most=60000),
    Setting("insideComments", True, "Complete inside comments."),
    Setting("insideStrings", True, "Complete inside strings."),
    Setting("excludedGlobs", list(SECRETS), 
            "Files whose text the engine never gets, as gitignore's patterns: below an excluded folder all are. Your "
            "list takes the place of the default; a workspace's is added to it.",
            is_restricted=True, is_of_folder=True),
)  # fmt: skip
# what clients keep beside the server's settings, and send along
OF_CLIENTS = frozenset(("command", "environment", "trace", "editorInfo", "editorPluginInfo"))
_BY_NAME = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True)
class Settings:
    """Settings in force. Field names are those of the editor, in snake case."""

    enable: bool = True
    languages: dict[str, bool] = field(default_factory=dict[str, bool])
    disabled_globs: tuple[str, ...] = ()
    mode: str = "automatic"
    model: str = "base"
    small_model: str = ""
    switching: str = "off"
    switch_above: float = 1.0
    switch_goal: str = "none"
    switch_share: float = 0.5
    switch_window: int = 5
    switch_dwell: int = 10
    switch_within_ms: int = 150
    device: str = "auto"
    dtype: str = "auto"
    low_memory: bool = False
    threads: int = 0
    context_tokens: int = 8192
    cache_mebibytes: int = 1024
    idle_exit_minutes: float = 15
    remote_engine: str = ""
    remote_engine_ca: str = ""
    retrieval: bool = True
    max_tokens: int = 96
    max_lines: int = 12
    multi_line: bool = True
    alternatives: int = 1
    alternatives_by: str = "branching"
    contrast: str = "off"
    show_unsure: bool = False
    debounce_ms: int = 40
    deadline_ms: int = 2500
    inside_comments: bool = True
    inside_strings: bool = True
    excluded_globs: tuple[str, ...] = SECRETS

    def engine_options(self) -> tuple[object, ...]:
        """What two windows must agree on to share an engine."""
        return tuple(getattr(self, _snake(s.name)) for s in SETTINGS if s.restarts)

    def is_excluded(self, uri: str, root: str = "") -> bool:
        """Whether a document's text must stay out of the engine; `root` is its workspace's folder, if it has one."""
        return is_excluded(_path(uri), self.excluded_globs, _rooted(root))

    def is_disabled(self, uri: str, root: str = "") -> bool:
        """Whether nothing is completed in a document, though its text is no secret."""
        return is_excluded(_path(uri), self.disabled_globs, _rooted(root))


def resolve(options: object) -> tuple[Settings, list[str]]:
    """Settings out of options, and what was wrong with them: a wrong value counts as its default."""
    if not isinstance(options, dict):
        return Settings(), [] if options is None else ["settings: expected an object"]
    known: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in options.items():  # pyright: ignore[reportUnknownVariableType]
        if name in OF_CLIENTS:
            continue
        setting = _BY_NAME.get(str(name))  # pyright: ignore[reportUnknownArgumentType]
        if setting is None:
            near = get_close_matches(str(name), _BY_NAME, n=1)  # pyright: ignore[reportUnknownArgumentType]
            hint = f"; did you mean {near[0]!r}?" if near else ""
            problems.append(f"setting {name!r} is unknown{hint}")
            continue
        problem = _problem(setting, value)  # pyright: ignore[reportUnknownArgumentType]
        if problem:
            problems.append(f"setting {setting.name!r}: {problem}; {setting.default!r} is used")
        elif value is not None:
            known[_snake(setting.name)] = tuple(value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownArgumentType]
            if setting.name.endswith("Globs"):
                found = problems_of_globs(known[_snake(setting.name)])
                problems += [f"setting {setting.name!r}: {one}" for one in found]
    return Settings(**known), problems


def _problem(setting: Setting, value: object) -> str:
    default = setting.default
    if value is None:
        return ""
    if isinstance(default, bool) or isinstance(value, bool):
        return "" if type(value) is type(default) else f"expected true or false, got {value!r}"
    if isinstance(default, int | float):
        if not isinstance(value, int | float) or (setting.is_whole and value != int(value)):
            return f"expected a number, got {value!r}"
        inside = (setting.least or 0) <= value <= (setting.most or value)
        return "" if inside else f"expected {setting.least} to {setting.most}, got {value!r}"
    if isinstance(default, dict):
        good = isinstance(value, dict) and all(type(v) is bool for v in value.values())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        return "" if good else "expected language ids with true or false"
    if isinstance(default, list):
        good = isinstance(value, list) and all(isinstance(v, str) for v in value)  # pyright: ignore[reportUnknownVariableType]
        return "" if good else "expected a list of globs"
    if not isinstance(value, str) or (setting.choices and value not in setting.choices):
        wanted = " or ".join(map(repr, setting.choices)) or "a text"
        return f"expected {wanted}, got {value!r}"
    return ""


def _rooted(root: str) -> str:
    return Path(root).as_posix() if root else ""


def _path(uri: str) -> str:
    return unquote(urlsplit(uri).path) or uri


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


assert {_snake(name) for name in _BY_NAME} == {f.name for f in fields(Settings)}
