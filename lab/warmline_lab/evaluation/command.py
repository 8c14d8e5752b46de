"""Does editing the cache cost quality? `python -m warmline_lab.evaluation.command edits|fim|cross-file|workspace`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch

from warmline_engine.errors import EngineError
from warmline_engine.model.hub.sources import locate
from warmline_engine.session import loaded_model
from warmline_engine.session.loaded_model import LoadedModel
from warmline_lab.data.releases import FOLDER, PINS, DataError, pairs, read_pins
from warmline_lab.replay.records import Record
from warmline_lab.retrieval import datasets
from warmline_lab.tables import pictures, tables
from warmline_lab.tables.results import Results, weights_hash
from warmline_protocol import processes
from warmline_protocol.broken_pipe import ends_with_reader
from warmline_protocol.model_names import typed

from . import plan
from .plan import Task

CACHE_MEBIBYTES = 1 << 15  # forks count twice; what is not used is not taken


@ends_with_reader
def main() -> None:
    options = _parse()
    try:
        results, run = measure(options)
    except BrokenPipeError:
        raise
    except (EngineError, DataError, OSError) as error:
        raise SystemExit(f"evaluation: {error}") from None
    records = results.records()
    text, decisions = tables.report(records, run), tables.decide(records)
    (options.out / "report.md").write_text(text)
    if options.suite == "edits":
        (options.out / "decisions.json").write_text(json.dumps(decisions, indent=1) + "\n")
    draw(records, options.plot or options.out)
    if options.json:
        found = {**run, "decisions": decisions, "faults": tables.faults(records, run["dtype"])}
        if options.suite != "edits":
            found = run
        print(json.dumps(found | {"records": [record.as_row() for record in records]}))
    else:
        print(text)


def measure(options: argparse.Namespace) -> tuple[Results, dict[str, Any]]:
    """Does what is not done yet; the results and what was run.

    Raises: EngineError, DataError.
    """
    folder = locate(options.model)
    dtype = options.dtype
    if dtype == "auto":
        model = loaded_model.load(options.model, options.device, dtype, 1)
        dtype = str(model.transformer.dtype).removeprefix("torch.")
        del model
    run: dict[str, Any] = {
        "suite": options.suite,
        "model": folder.name,
        "weights": weights_hash(folder),
        "dtype": dtype,
        "seed": options.seed,
        "limit": options.limit,
        "dataset": options.dataset.name if options.dataset else None,
        "command": f"python -m warmline_lab.evaluation.command {options.suite} --model {folder.name} "
        f"--limit {options.limit} --seed {options.seed}",
        "torch": torch.__version__,
        "workers": options.workers,
    }
    tasks = choose(options)
    options.out = options.out or Path(".work/eval") / f"{options.suite}-{folder.name}"
    results = Results(options.out, run)
    n_all = sum(task.n_requests() for task in tasks)
    left = [task for task in tasks if task.key not in results.done]
    n_done = n_all - sum(task.n_requests() for task in left)
    begin, n_before = time.monotonic(), n_done
    for task, records in work(left, options.model, options.device, dtype, options.workers):
        results.add(task.key, records)
        n_done += task.n_requests()
        rate = (n_done - n_before) / (time.monotonic() - begin)
        _show_progress(n_done, n_all, rate)
    if left and sys.stderr.isatty():
        print(file=sys.stderr)
    return results, run


def choose(options: argparse.Namespace) -> list[Task]:
    """The tasks of a suite.

    Raises: DataError.
    """
    if options.dataset is not None:
        if options.suite != "cross-file":
            raise DataError(f"--dataset belongs to cross-file, not to {options.suite}")
        return list(datasets.read(options.dataset)[: options.limit])
    found = pairs(read_pins(options.pins), options.data)
    make = {
        "edits": plan.edits_tasks,
        "fim": plan.fim_tasks,
        "cross-file": plan.cross_file_tasks,
        "workspace": plan.workspace_tasks,
    }
    return make[options.suite](found, options.limit, options.seed)


def work(
    tasks: list[Task], model: str, device: str, dtype: str, n_workers: int
) -> Iterator[tuple[Task, list[Record]]]:
    """Tasks and their records as they are done, in so many processes of one thread each."""
    # the longest first would bias what a run that is stopped early has seen, so the order stays
    arguments = (model, device, dtype)
    if n_workers == 1 or len(tasks) < 2:
        _start(*arguments)
        for task in tasks:
            yield task, _run(task)
        return
    spawn = processes.workers("spawn")
    with ProcessPoolExecutor(n_workers, spawn, _start, arguments) as pool:
        waiting = {pool.submit(_run, task): task for task in tasks}
        for future in as_completed(waiting):
            yield waiting.pop(future), future.result()


_model: LoadedModel  # of a worker process


def _start(model: str, device: str, dtype: str) -> None:
    global _model  # noqa: PLW0603  # a process pool gives its workers no other place
    torch.set_num_threads(1)
    _model = loaded_model.load(model, device, dtype, CACHE_MEBIBYTES)


def _run(task: Task) -> list[Record]:
    return plan.run_task(_model, task)


def draw(records: list[Record], folder: Path) -> None:
    """Writes a picture for each suite."""
    folder.mkdir(parents=True, exist_ok=True)
    for suite in sorted({record.suite for record in records}):
        picture = pictures.quality_against_cost(records, suite)
        if picture:
            (folder / f"{suite}.svg").write_text(picture)


def _show_progress(n_done: int, n_all: int, rate: float) -> None:
    left = (n_all - n_done) / rate if rate else 0.0
    filled = 30 * n_done // max(1, n_all)
    bar = f"[{'#' * filled}{'.' * (30 - filled)}] {n_done}/{n_all}, {left / 60:.1f} min left"
    print(f"\r{bar} ", end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return number


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m warmline_lab.evaluation.command", description=__doc__
    )
    parser.add_argument("suite", choices=("edits", "fim", "cross-file", "workspace"))
    parser.add_argument(
        "--model",
        type=typed,
        default="small",
        help="embedded name, Hugging Face id or folder (./x, ~/x, /x)",
    )
    parser.add_argument("--limit", type=_positive, default=5000, help="requests, about")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--json", action="store_true", help="run, decisions and records as one object"
    )
    parser.add_argument("--plot", metavar="DIR", type=Path, help="pictures go here, not into --out")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="results; gone on with if it is there"
    )
    parser.add_argument("--dataset", metavar="PATH", type=Path,
                        help="RepoBench or CrossCodeEval file, for cross-file")  # fmt: skip
    parser.add_argument("--pins", type=Path, default=PINS, help="pinned releases")
    parser.add_argument("--data", type=Path, default=FOLDER, help="what make eval fetched")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--workers", type=_positive, default=os.cpu_count() or 1,
                        help="processes of one thread")  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    main()
