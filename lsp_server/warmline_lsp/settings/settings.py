"""Settings: what the client sent (options, any of them missing or wrong) made into settings (none missing).

SETTINGS is the one table of them; package.json and README are compared with it by a test.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from warmline_protocol.exclusion import SECRETS, is_excluded
from warmline_protocol.exclusion import problems as problems_of_globs

from .checks import MAX_PROBLEMS, checked, nearest, shown
from .options import ShapeError, named
from .setting import Setting

SETTINGS = (
    Setting("enable", True, "Offer completions."),
    Setting("languages", {}, 
            "Turn languages on or off by id: `{\"python\": false}`; `*` is each without an entry of its own. `true` "
            "also serves one the model's card lacks. A model without a card serves programming languages only.",
            is_of_folder=True),
    Setting("disabledGlobs", [],
            "Files in which completions are off; what they say may still help in other files. Matched as "
            "`excludedGlobs` are.", is_of_folder=True),
    Setting("mode", "automatic", "Complete while you type, or only when you ask.", ("automatic", "onRequest")),
    Setting("model", "base",
            "An embedded model (`base`; `small` for a slow machine), a Hugging Face id, or a folder with safetensors: "
            "an absolute path, or one that starts with `~`.", restarts=True, is_restricted=True, is_model=True),
    Setting("smallModel", "", "A smaller model of the same family that works with the model, named as `model` is; "
            "empty: none.", restarts=True, is_restricted=True, is_model=True),
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
    Setting("remoteEngineCa", "", "`tls://`: a file (PEM) with the one CA to trust, by an absolute path or one that "
            "starts with `~`. Empty: those of the system.", restarts=True, is_of_machine=True, is_path=True),
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
_NAMES = frozenset((*_BY_NAME, *OF_CLIENTS))


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


def is_for_us(options: object) -> bool:
    """Whether options say anything of ours; other programs' settings may come instead. Those of a wrong shape do."""
    try:
        return named(options, _NAMES) is not None
    except ShapeError:
        return True


def resolve(options: object) -> tuple[Settings, list[str]]:
    """Settings out of options in any of the shapes of `options.py`, and what was wrong with them.

    A wrong value counts as its default. Problems name settings, never values.
    """
    try:
        given = named(options, _NAMES) or {}
    except ShapeError as error:
        return Settings(), [str(error)]
    known: dict[str, Any] = {}
    problems: list[str] = []
    unknown: list[str] = []
    for name, value in given.items():
        if name.partition(".")[0] in OF_CLIENTS:
            continue
        setting = _BY_NAME.get(name)
        if setting is None:
            unknown.append(name)
        elif value is not None:
            taken, wrong = checked(setting, value)
            problems += [f"setting {name!r}: {problem}" for problem in wrong]
            if taken is not None:
                known[_snake(name)] = taken
            if taken is not None and name.endswith("Globs"):
                problems += [f"setting {name!r}: {one}" for one in problems_of_globs(taken)]
    return Settings(**known), [*_unknown(unknown), *problems]


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


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


assert {_snake(name) for name in _BY_NAME} == {f.name for f in fields(Settings)}
