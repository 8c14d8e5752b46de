"""Completion of a line that needs another file, in RepoBench's settings and prompt.

Settings: the first use of a name from another module of the package, a random later use, and a line that
uses none. Source: RepoBench (Liu et al. 2023, arXiv:2306.03091) and its prompt of version 1.1.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np

from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.window import Window
from warmline_engine.text.fim import FimTemplate
from warmline_lab.metrics import measures
from warmline_lab.replay.edits import lines_of
from warmline_lab.replay.forks import forked
from warmline_lab.replay.records import MethodJudge, Record, Request
from warmline_lab.replay.scoring import Scored, offer, read_all, score
from warmline_lab.replay.traces import is_code

SETTINGS = ("first use", "random use", "in-file")
N_SNIPPETS = 5
SNIPPET_LINES = 30
REENCODED = (64, 256)  # of the last tokens, once they see what was bound
CHARACTERS = 14_000  # of a prompt; snippets over it are dropped from the end


@dataclass(frozen=True)
class Snippet:
    path: str
    text: str


@dataclass(frozen=True)
class CrossTask:
    """`code` is what stands in the file before the line, its imports included."""

    key: str
    repository: str
    path: str
    setting: str
    snippets: tuple[Snippet, ...]
    code: str
    truth: str

    def n_requests(self) -> int:
        return 1


def prompt(task: CrossTask, with_snippets: bool) -> str:
    """The text before the line to complete."""
    snippets = "".join(f"# Path: {s.path}\n{s.text}\n\n" for s in task.snippets)
    code = f"# Path: {task.path}\n{task.code}"[-CHARACTERS:]
    head = _head(task)
    room = max(0, CHARACTERS - len(head) - len(code))
    if room < len(snippets):
        snippets = snippets[: snippets.rfind("\n", 0, room) + 1]
    return re.sub(r"\n{4,}", "\n\n", head + (snippets if with_snippets else "") + code)


def _head(task: CrossTask) -> str:
    return f"# Repo Name: {task.repository}\n"


def tasks_of(
    package: str, files: dict[str, str], path: str, rng: np.random.Generator
) -> list[CrossTask]:
    """One task of each setting that a file has a line for."""
    text = files[path]
    bound = names_from_package(files, path)
    lines = lines_of(text)
    first_code = line_behind_imports(text)
    uses: dict[int, str] = {}
    seen: set[str] = set()
    first_uses: list[int] = []
    for k in range(first_code, len(lines)):
        names = [n for n in re.findall(r"\w+", lines[k]) if n in bound]
        if names and is_code(lines[k].strip()):
            uses[k] = names[0]
            if names[0] not in seen:
                first_uses.append(k)
        seen.update(names)
    later = [k for k in uses if k not in first_uses]
    none = [k for k in range(first_code, len(lines)) if k not in uses and is_code(lines[k].strip())]
    tasks: list[CrossTask] = []
    for setting, places in zip(SETTINGS, (first_uses, later, none), strict=True):
        if not places or not bound:
            continue
        k = places[int(rng.integers(len(places)))]
        name = uses.get(k) or sorted(bound)[int(rng.integers(len(bound)))]
        snippets = _snippets(files, bound, name, rng)
        content = lines[k].strip()
        indent = lines[k][: len(lines[k]) - len(lines[k].lstrip())]
        code = "".join(lines[:k]) + indent
        key = f"cross/{package}/{path}/{setting}"
        tasks.append(CrossTask(key, package, path, setting, snippets, code, content))
    return tasks


def parsed_module(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def line_behind_imports(text: str) -> int:
    tree = parsed_module(text)
    imports = [
        node.end_lineno or 0
        for node in (tree.body if tree else [])
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    return max(imports, default=0)


def names_from_package(files: dict[str, str], path: str) -> dict[str, Snippet]:
    """Names that a file imports from other modules of its package, with where they are defined."""
    found: dict[str, Snippet] = {}
    tree, here = parsed_module(files[path]), PurePosixPath(path)
    for node in ast.walk(tree) if tree else ():
        if not isinstance(node, ast.ImportFrom):
            continue
        parts = (node.module or "").split(".") if node.module else []
        if node.level:
            parts = [*here.parts[: len(here.parts) - node.level], *parts]
        module = "/".join(parts)
        source = next((p for p in (f"{module}.py", f"{module}/__init__.py") if p in files), None)
        if source is None or source == path:
            continue
        for alias in node.names:
            snippet = _definition(files[source], alias.name)
            if snippet and not alias.asname:
                found[alias.name] = Snippet(source, snippet)
    return found


def _definition(text: str, name: str) -> str:
    pattern = rf"^(?:async def|def|class) {re.escape(name)}\b|^{re.escape(name)}\b *[:=]"
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        return ""
    return "".join(lines_of(text[match.start() :])[:SNIPPET_LINES]).rstrip("\n")


def _snippets(
    files: dict[str, str], bound: dict[str, Snippet], name: str, rng: np.random.Generator
) -> tuple[Snippet, ...]:
    """The name's definition among others, in random order."""
    others = sorted(set(bound) - {name})
    drawn = [others[int(k)] for k in rng.permutation(len(others))[: N_SNIPPETS - 1]]
    chosen = [bound[n] for n in [name, *drawn]]
    return tuple(chosen[int(k)] for k in rng.permutation(len(chosen)))


def left_to_right(model: LoadedModel) -> LoadedModel:
    """The model with nothing behind the cursor; its texts begin as in training."""
    names = ("<s>", "<｜begin▁of▁sentence｜>", "<|endoftext|>")
    ids = [model.tokenizer.control_id(name) for name in names]
    front = tuple(i for i in ids if i is not None)[:1]
    return replace(
        model, layout=FimTemplate(front, (), (), model.layout.stop_ids, has_suffix=False)
    )


def run(model: LoadedModel, task: CrossTask) -> list[Record]:
    """The file alone, behind its snippets, and with the snippets put before it when it had been read.

    The reference of divergences is the prompt with snippets, read whole.
    """
    served, records = left_to_right(model), list[Record]()
    truth = model.tokenizer.encode(task.truth).ids
    whole = _read(served, prompt(task, with_snippets=True), len(truth))
    scored = score(whole, truth)
    request = Request(task.key, "cross-file", task.setting, task.repository, task.truth)
    judge = MethodJudge(served, replace(request, n_context=whole.n_own_tokens), scored)

    def add(name: str, window: Window, scored: Scored, n_encoded: int) -> None:
        offered = measures.first_code_line(offer(served, window, scored))
        records.append(judge.record(name, scored, n_encoded, offered=offered))

    add("cold read, with snippets", whole, scored, whole.n_own_tokens)
    whole.sequence.drop_cache()
    window = _read(served, prompt(task, with_snippets=False), len(truth))
    add("cold read, in file", window, score(window, truth), window.n_own_tokens)
    snippets = bound_text(task)
    room = served.transformer.config.max_context - window.n_own_tokens - len(truth) - 1
    if snippets and len(model.tokenizer.encode(snippets).ids) < room:
        before, at = window.sequence.n_encoded, len(_head(task))
        window.n_behind = 0  # the snippets' own tokens, and no others
        window.edit(at, at, snippets)
        window.move_cursor(len(window.tokenized.text))
        read_all(window)
        n_bound = window.sequence.n_encoded - before
        add("late-bound", window, score(window, truth), n_bound)
        for n_tokens in REENCODED:
            with forked(window) as repaired:
                end = repaired.n_own_tokens
                repaired.sequence.repair(range(max(0, end - n_tokens), end))
                name = f"late-bound, {n_tokens} encoded again"
                add(name, repaired, score(repaired, truth), n_bound + n_tokens)
    window.sequence.drop_cache()
    return records


def _read(model: LoadedModel, text: str, n_truth: int) -> Window:
    """A window of a text, which is cut at its front until it fits."""
    while True:
        window = Window(model, text, 0, len(text), len(text))
        if window.n_own_tokens + n_truth + 1 <= model.transformer.config.max_context:
            read_all(window)
            return window
        text = text[len(text) // 4 :]


def bound_text(task: CrossTask) -> str:
    """What the prompt with snippets has between its first line and the file."""
    whole, alone = (prompt(task, with_snippets=flag) for flag in (True, False))
    head, code = len(_head(task)), alone[len(_head(task)) :]
    return whole[head : len(whole) - len(code)] if whole.endswith(code) else ""
