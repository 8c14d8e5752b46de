"""Completion of a line with what the engine itself finds in the other files of a package, as it is served.

Places are those of `cross_file.py`. Expectations are what is served: the model's with recall mixed in, which reads
the finds too.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from warmline_engine.decoding.ngram.recall import Recall
from warmline_engine.retrieval.index.index import UNSAVED, Index
from warmline_engine.retrieval.query import Query, query
from warmline_engine.retrieval.rank import Found, ranked
from warmline_engine.retrieval.workspace_indexer import MAX_CHARACTERS, MAX_FOUND
from warmline_engine.session.completion import suffix_matcher
from warmline_engine.session.context import Context
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.stretch import choose_stretch
from warmline_engine.session.window import Window
from warmline_lab.replay.records import MethodJudge, Record, Request
from warmline_lab.replay.scoring import CHUNK, Scored, offer, read_all, score

from . import cross_file

N_CONTEXT = 3000  # tokens of the file
NEAR = 64  # tokens before the cursor, where finds stand when they are put nearer
REENCODED = 64  # of the last tokens, so that they see what is bound
GUESSED = "similar words"  # why a find is there that defines no name used here


@dataclass(frozen=True)
class WorkspaceTask:
    """A line taken out of a file; `pieces` are finds as (why, text), the nearest last."""

    key: str
    package: str
    setting: str
    pieces: tuple[tuple[str, str], ...]
    text: str
    cursor: int
    truth: str

    def n_requests(self) -> int:
        return 1


@contextmanager
def indexed(files: dict[str, str]) -> Iterator[Index]:
    """An index of a package for as long as it is used."""
    with tempfile.TemporaryDirectory() as folder:
        index = Index(Path(folder) / "index.sqlite")
        index.put((path, "python", text, UNSAVED) for path, text in files.items())
        try:
            yield index
        finally:
            index.close()


def tasks_of(
    package: str, files: dict[str, str], path: str, index: Index, rng: np.random.Generator
) -> list[WorkspaceTask]:
    """A task for each setting that a file has a line for."""
    found: list[WorkspaceTask] = []
    for task in cross_file.tasks_of(package, files, path, rng):
        cursor, whole = len(task.code), files[path]
        text = task.code + whole[cursor + len(task.truth) :]
        start, end = choose_stretch(text, cursor, N_CONTEXT)
        finds = found_for(index, query(path, "python", text, cursor), text[start:end])
        pieces = tuple((one.why, one.text) for one in reversed(finds))
        key = task.key.replace("cross/", "workspace/", 1)
        cut = text[start:end]
        found.append(
            WorkspaceTask(key, package, task.setting, pieces, cut, cursor - start, task.truth)
        )
    return found


def found_for(index: Index, asked: Query, visible: str) -> list[Found]:
    """The pieces that the indexer would find, the best first."""
    return ranked(index, asked, visible, limit=MAX_FOUND, most_characters=MAX_CHARACTERS)


def run(model: LoadedModel, task: WorkspaceTask) -> list[Record]:
    """The file alone, with the finds read before the prefix, and with the finds bound in several ways."""
    truth = model.tokenizer.encode(task.truth).ids
    texts = [text for _, text in task.pieces]
    added = "".join(texts)
    begin = time.perf_counter()
    whole = Window(model, added + task.text, 0, len(added + task.text), len(added) + task.cursor)
    read_all(whole)
    raw = score(whole, truth)
    elapsed = (time.perf_counter() - begin) * 1000
    request = Request(task.key, "workspace", task.setting, task.package, task.truth)
    request = replace(request, n_context=whole.n_own_tokens)
    judge = MethodJudge(model, request, served(model, whole, raw))
    records: list[Record] = []

    def add(name: str, window: Window, raw: Scored, n_encoded: int, ready_ms: float) -> None:
        offered = offer(model, window, raw, recalls=True)
        scored = served(model, window, raw)
        records.append(judge.record(name, scored, n_encoded, ready_ms, offered))

    add("cold read, with finds", whole, raw, whole.n_own_tokens, elapsed)
    whole.sequence.drop_cache()
    window = Window(model, task.text, 0, len(task.text), task.cursor)
    read_all(window)
    add("cold read, alone", window, score(window, truth), window.n_own_tokens, -1.0)
    sequence, n_own = window.sequence, window.n_own_tokens

    def bind(
        name: str, chosen: list[str], at: int, prepare: Callable[[], object] | None = None
    ) -> None:
        before = sequence.n_encoded + sequence.n_bound_encoded
        begin = time.perf_counter()
        sequence.bind([model.tokenizer.encode(text).ids for text in chosen])
        sequence.bound_end = at
        while sequence.encode_bound(CHUNK, model.kept):
            pass
        if prepare:
            prepare()
        found = score(window, truth)
        elapsed = (time.perf_counter() - begin) * 1000
        n_encoded = sequence.n_encoded + sequence.n_bound_encoded - before - len(truth) - 1
        add(name, window, found, n_encoded, elapsed)

    at = window.tokenized.prefix_span[0]
    bind("bound", texts, at)
    # by now they are kept, as they are when another place or file needs them too
    bind("bound, kept", texts, at)
    bind("bound, definitions alone", [text for why, text in task.pieces if why != GUESSED], at)
    bind("bound, in front of all", texts, 0)
    bind(f"bound, {NEAR} before the cursor", texts, max(0, n_own - NEAR))
    seeing = np.arange(max(0, n_own - REENCODED), n_own)
    bind(
        f"bound, {REENCODED} encoded again",
        texts,
        at,
        lambda: sequence.encode(seeing, len(seeing)),
    )
    sequence.drop_cache()
    return records


def served(model: LoadedModel, window: Window, scored: Scored) -> Scored:
    """What is expected with recall mixed in, as a completion does."""
    if model.recall is None:
        return scored
    tokenized = window.tokenized
    context = Context(window.sequence, tokenized.prefix_ids, tokenized.suffix_ids)
    recall = Recall(model.recall, suffix_matcher(model, context))
    rows = [recall.mix(row, scored.truth[:k]) for k, row in enumerate(scored.logits)]
    return Scored(scored.truth, torch.stack(rows))
