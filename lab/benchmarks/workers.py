"""Work with a model on many places, in processes of one thread each."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TypeVar

import torch

from warmline_engine.session import loaded_model
from warmline_engine.session.loaded_model import LoadedModel

CACHE_MEBIBYTES = 4096
Task = TypeVar("Task")
Result = TypeVar("Result")
_model: LoadedModel  # of a worker process


def each(
    work: Callable[[LoadedModel, Task], Result], tasks: Iterable[Task], model: str, n_workers: int
) -> Iterator[Result]:
    """What comes out of each task, in their order; the model works in float32."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, spawn, _start, (model,)) as pool:
        yield from pool.map(partial(_run, work), tasks)


def _start(model: str) -> None:
    global _model  # noqa: PLW0603  # a process pool gives its workers no other place
    torch.set_num_threads(1)
    _model = loaded_model.load(model, "cpu", "float32", CACHE_MEBIBYTES)


def _run(work: Callable[[LoadedModel, Task], Result], task: Task) -> Result:
    return work(_model, task)
