"""What the index of a workspace costs: files a second, milliseconds a query, an edit till it is found, memory.

The workspace is what Python code is installed here, copied to a temporary folder. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from warmline_engine.retrieval.index import encoder_file
from warmline_engine.retrieval.index.build import build
from warmline_engine.retrieval.index.index import UNSAVED, Index
from warmline_engine.retrieval.index_command import encode
from warmline_engine.retrieval.query import query
from warmline_engine.retrieval.rank import N_BLOCKS, ranked
from warmline_engine.retrieval.source.files import Rules


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument(
        "--chunks", type=int, default=0, help="stop copying at so many chunks, about"
    )
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "workspace"
        n_bytes = copy(root, options.files, options.chunks * 305, options.seed)
        print(json.dumps(measured(root, Path(folder) / "index.sqlite", n_bytes, options), indent=1))


def copy(root: Path, n_files: int, most_bytes: int, seed: int) -> int:
    """Copies Python files; how many bytes."""
    sources = sorted(
        path
        for name in ("stdlib", "purelib")
        for path in Path(sysconfig.get_path(name)).rglob("*.py")
        if path.stat().st_size < 500_000
    )
    random.Random(seed).shuffle(sources)
    n_bytes = 0
    for k, path in enumerate(islice(cycle(sources), n_files)):  # more than there are begin again
        if most_bytes and n_bytes > most_bytes:
            break
        target = root / f"{k % 97}" / f"{path.parent.name}_{k}.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        os.utime(target, (1, 1))
        n_bytes += path.stat().st_size
    return n_bytes


def measured(
    root: Path, database: Path, n_bytes: int, options: argparse.Namespace
) -> dict[str, object]:
    index, rules = Index(database, encoder=encoder_file.load()), Rules(root, ())
    start, cpu = time.perf_counter(), time.process_time()
    done = build(index, rules)
    wall_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    again_s = seconds(lambda: build(index, rules))
    n_bytes_of_words = database.stat().st_size
    encoding_s = seconds(lambda: encode(index))
    index.similar("", 1)  # reads the vectors; afterwards those alone that were added
    rng = random.Random(options.seed)
    paths = rng.sample(sorted(index.stamps()), min(options.queries, done.n_files))
    searches: list[float] = []
    cold_s: float | None = None
    similar: list[float] = []
    rankings: list[float] = []
    firsts: list[float] = []
    with_vectors: list[float] = []
    edits: list[float] = []
    for path in paths:
        text = (root / path).read_text("utf-8", "replace")
        offset = rng.randrange(len(text) + 1)
        firsts.append(seconds(lambda p=path, t=text, o=offset: query(p, "python", t, o)))
        asked = query(path, "python", text, offset)
        took = seconds(lambda asked=asked: index.search(asked.words, 40))
        cold_s = cold_s or took
        searches.append(took)
        similar.append(seconds(lambda asked=asked: index.similar(asked.near, N_BLOCKS)))
        # as in a document that somebody types in: the text was asked about before its last character
        typed = text[:offset] + "x" + text[offset:]
        rankings.append(
            seconds(lambda p=path, t=typed, o=offset: ranked(index, query(p, "python", t, o), t))
        )

        def with_all(path: str = path, text: str = typed + "\n", offset: int = offset) -> None:
            asked = query(path, "python", text, offset)
            ranked(index, asked, text, near=index.similar(asked.near, N_BLOCKS))

        with_vectors.append(seconds(with_all))
        edited = (
            f"{text[:offset]}\n\n\ndef added_just_now(first):\n    return first\n{text[offset:]}"
        )

        def edit(path: str = path, edited: str = edited) -> None:
            index.put([(path, "python", edited, UNSAVED)])
            index.follow(64)
            index.search(["added_just_now"], 5)

        edits.append(seconds(edit))
    n_files, n_chunks = index.counts()
    index.close()
    return {
        "command": " ".join(["python lab/benchmarks/index.py", *sys.argv[1:]]),
        "files": n_files,
        "chunks": n_chunks,
        "megabytes": round(n_bytes / 1e6, 1),
        "build_s": round(wall_s, 1),
        "build_cpu_s": round(cpu_s, 1),
        "files_a_second": round(done.n_put / wall_s, 1),
        "build_again_s": round(again_s, 2),
        "encoding_s": round(encoding_s, 1),
        "database_megabytes": round(n_bytes_of_words / 1e6, 1),
        "with_vectors_megabytes": round(database.stat().st_size / 1e6, 1),
        "first_search_ms": round(1e3 * (cold_s or 0), 1),
        "search_ms": percentiles(searches),
        "similar_ms": percentiles(similar),
        "query_of_a_new_text_ms": percentiles(firsts),
        "query_and_rank_ms": percentiles(rankings),
        "query_and_rank_with_vectors_ms": percentiles(with_vectors),
        "edit_to_found_ms": percentiles(edits),
        "peak_memory_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, 1),
        "load_average": round(os.getloadavg()[0], 2),
        "cores": os.cpu_count(),
    }


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def percentiles(values: list[float]) -> dict[str, float]:
    return {f"p{p}": round(1e3 * float(np.percentile(values, p)), 2) for p in (50, 95)}


if __name__ == "__main__":
    main()
