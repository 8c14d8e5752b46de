"""Which requests are made, in which order: decided by the seed alone, before a model is loaded."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

import numpy as np

from warmline_engine.session.loaded_model import LoadedModel
from warmline_lab.data.releases import FilePair
from warmline_lab.replay import accepts, controlled_run, trace_run
from warmline_lab.replay.controlled import Target, bound_cases, choose_target
from warmline_lab.replay.records import Record
from warmline_lab.replay.traces import stretches
from warmline_lab.retrieval import cross_file, workspace

from . import holes

BUCKETS = (1000, 2000, 4000, 7500)  # tokens of context; the last leaves room in 8k
BUCKET_SHARES = (0.4, 0.35, 0.15, 0.1)
SHARES = {"traces": 0.55, "controlled": 0.4, "accepts": 0.05}  # of the requests of `edits`
N_SEEKS = 12  # draws for a target with an edit of what it names
CHARACTERS_PER_TOKEN = 3.2


class Task(Protocol):
    @property
    def key(self) -> str: ...

    def n_requests(self) -> int: ...


def run_task(model: LoadedModel, task: Task) -> list[Record]:
    """All records of a task."""
    match task:
        case trace_run.TraceTask():
            return trace_run.run(model, task)
        case controlled_run.TargetTask():
            return controlled_run.run(model, task)
        case accepts.AcceptTask():
            return accepts.run(model, task)
        case holes.HoleTask():
            return holes.run(model, task)
        case cross_file.CrossTask():
            return cross_file.run(model, task)
        case workspace.WorkspaceTask():
            return workspace.run(model, task)
        case _:
            raise AssertionError(task)


def edits_tasks(pairs: list[FilePair], limit: int, seed: int) -> list[Task]:
    """Traces, controlled edits and accepts, about `limit` requests; a share that runs out is filled up."""
    found = _take(_traces(pairs, seed), int(limit * SHARES["traces"]))
    found += _take(_accepts(pairs, seed), int(limit * SHARES["accepts"]))
    left = limit - sum(task.n_requests() for task in found)
    return found + _take(targets(pairs, seed), left)


def fim_tasks(pairs: list[FilePair], limit: int, seed: int) -> list[Task]:
    return _take(_holes(pairs, seed), limit)


def cross_file_tasks(pairs: list[FilePair], limit: int, seed: int) -> list[Task]:
    return _take(_crossings(pairs, seed), limit)


def workspace_tasks(pairs: list[FilePair], limit: int, seed: int) -> list[Task]:
    with ExitStack() as stack:
        return _take(_workspaces(pairs, seed, stack), limit)


def _take(tasks: Iterator[Task], n_requests: int) -> list[Task]:
    found: list[Task] = []
    while n_requests > 0:
        task = next(tasks, None)
        if task is None:
            break
        found.append(task)
        n_requests -= task.n_requests()
    return found


def _rng(seed: int, *names: str) -> np.random.Generator:
    return np.random.default_rng((seed, *(zlib.crc32(name.encode()) for name in names)))


def _shuffled(pairs: list[FilePair], seed: int, what: str) -> list[FilePair]:
    return [pairs[int(k)] for k in _rng(seed, what).permutation(len(pairs))]


def _traces(pairs: list[FilePair], seed: int) -> Iterator[Task]:
    number = 0
    for pair in _shuffled(pairs, seed, "traces"):
        if pair.old in ("", pair.new):
            continue
        rng = _rng(seed, "trace", pair.package, pair.path)
        room = int(rng.choice(BUCKETS, p=BUCKET_SHARES) * CHARACTERS_PER_TOKEN * 0.75)
        for part, (old, new) in enumerate(stretches(pair.old, pair.new, room)):
            key = f"trace/{pair.package}/{pair.path}/{part}"
            task = trace_run.TraceTask(
                key, pair.package, pair.path, old, new, zlib.crc32(f"{seed}{key}".encode()), number
            )
            if 0 < task.n_requests() <= 60:
                number += 1
                yield task


def targets(pairs: list[FilePair], seed: int) -> Iterator[Task]:
    rng, n_found = _rng(seed, "controlled"), 0
    for number in range(1_000_000):
        bucket = int(rng.choice(BUCKETS, p=BUCKET_SHARES))
        seeks = number % 2 == 0
        target: Target | None = None
        for _ in range(N_SEEKS if seeks else 1):
            pair = pairs[int(rng.integers(len(pairs)))]
            donors = [p for p in pairs if p.package == pair.package and p.path != pair.path]
            donor = donors[int(rng.integers(len(donors)))].new if donors else pair.new
            key = f"controlled/{pair.package}/{pair.path}/{number}"
            drawn = choose_target(key, pair.package, pair.new, donor, bucket, rng)
            if drawn is None:
                continue
            target = drawn
            if not seeks or bound_cases(drawn, np.random.default_rng(0)):
                break
        if target is not None:
            task = controlled_run.TargetTask(target.key, target, bucket, number, n_found)
            if task.n_requests():
                n_found += 1
                yield task


def _accepts(pairs: list[FilePair], seed: int) -> Iterator[Task]:
    for pair in _shuffled(pairs, seed, "accepts"):
        text = pair.new[:6000]
        text = text[: text.rfind("\n") + 1]
        rng = _rng(seed, "accept", pair.package, pair.path)
        first = accepts.first_of_run(text, int(rng.integers(1, 60)))
        if first is not None:
            key = f"accepts/{pair.package}/{pair.path}"
            yield accepts.AcceptTask(key, pair.package, text, first)


def _holes(pairs: list[FilePair], seed: int) -> Iterator[Task]:
    for turn in range(10_000):
        for pair in _shuffled(pairs, seed, f"holes {turn}"):
            rng = _rng(seed, "hole", pair.package, pair.path, str(turn))
            for kind in holes.KINDS:
                key = f"fim/{pair.package}/{pair.path}/{turn}/{kind}"
                task = holes.task_of(key, pair.package, pair.new, kind, rng)
                if task is not None:
                    yield task


def _by_package(pairs: list[FilePair]) -> dict[str, dict[str, str]]:
    files: dict[str, dict[str, str]] = {}
    for pair in pairs:
        files.setdefault(pair.package, {})[pair.path] = pair.new
    return files


def _workspaces(pairs: list[FilePair], seed: int, stack: ExitStack) -> Iterator[Task]:
    files = _by_package(pairs)
    indexes = {p: stack.enter_context(workspace.indexed(files[p])) for p in files}
    for pair in _shuffled(pairs, seed, "workspace"):
        rng, own = _rng(seed, "workspace", pair.package, pair.path), files[pair.package]
        yield from workspace.tasks_of(pair.package, own, pair.path, indexes[pair.package], rng)


def _crossings(pairs: list[FilePair], seed: int) -> Iterator[Task]:
    files = _by_package(pairs)
    for pair in _shuffled(pairs, seed, "cross-file"):
        rng = _rng(seed, "cross-file", pair.package, pair.path)
        yield from cross_file.tasks_of(pair.package, files[pair.package], pair.path, rng)
