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

from warmline_engine.loaded_model import LoadedModel
from warmline_engine.text.fim import Layout
from warmline_engine.window import Window

from . import measures
from .edits import lines_of
from .records import Judge, Record, Request
from .scoring import offer, read_all, score
from .traces import is_code

SETTINGS = ("first use", "random use", "in-file")
N_SNIPPETS = 5
SNIPPET_LINES = 30
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
    head = f"# Repo Name: {task.repository}\n"
    room = max(0, CHARACTERS - len(head) - len(code))
    if room < len(snippets):
        snippets = snippets[: snippets.rfind("\n", 0, room) + 1]
    return re.sub(r"\n{4,}", "\n\n", head + (snippets if with_snippets else "") + code)


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
    return replace(model, layout=Layout(front, (), (), model.layout.ends, has_suffix=False))


def run(model: LoadedModel, task: CrossTask) -> list[Record]:
    """The file alone and behind its snippets. The reference of divergences is the prompt with snippets."""
    served, records = left_to_right(model), list[Record]()
    truth = model.tokenizer.encode(task.truth).ids
    judge: Judge | None = None
    for name, with_snippets in (("cold read, with snippets", True), ("cold read, in file", False)):
        text = prompt(task, with_snippets)
        window = Window(served, text, 0, len(text), len(text))
        while served.transformer.config.max_context < window.n_own_tokens + len(truth) + 1:
            text = text[len(text) // 4 :]
            window = Window(served, text, 0, len(text), len(text))
        read_all(window)
        scored = score(window, truth)
        if judge is None:
            request = Request(task.key, "cross-file", task.setting, task.repository, task.truth)
            judge = Judge(served, replace(request, n_context=window.n_own_tokens), scored)
        offered = measures.first_code_line(offer(served, window, scored))
        records.append(judge.record(name, scored, window.n_own_tokens, offered=offered))
        window.sequence.drop_cache()
    return records
