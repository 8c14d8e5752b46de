"""What one pass of a model costs by its number of rows and the format of the weights: `make bench NAME=passes`.

By turns in one process, behind the same context, each format serving all numbers of rows. `few_rows` is up to how
many rows a loaded model takes it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks import edits
from warmline_engine.cache.arena import Arena, RowShape
from warmline_engine.cache.sequence import KVSequence
from warmline_engine.model import checkpoint
from warmline_kernels import cpu

ROWS = (1, 2, 4, 8, 16, 64, 256)
FORMATS = ("bfloat16", "int8", "int4")
EVERY_ROW = 1 << 30


def context(folder: Path, name: str, n_tokens: int) -> tuple[KVSequence, int]:
    """A text in the cache of a model whose compact weights serve all rows; for how many rows they would."""
    config = checkpoint.read_config(folder)
    decode_format = "" if name in checkpoint.DTYPES else name
    model = checkpoint.load(folder, dtype=torch.bfloat16, decode_format=decode_format)
    few_rows = model.parts(1)[0].few_rows
    shape = RowShape(
        config.n_layers, config.n_kv_heads, config.head_size, torch.bfloat16, torch.device("cpu")
    )
    sequence = KVSequence(model.with_few_rows(EVERY_ROW), Arena(shape, 4 << 30))
    ids = np.random.default_rng(0).integers(0, config.n_vocabulary, n_tokens)
    sequence.splice(0, 0, ids.tolist())
    while sequence.encode_pending(512):
        pass
    return sequence, few_rows


def measured(sequences: dict[str, KVSequence], n_rows: int, n_times: int) -> dict[str, float]:
    """Milliseconds of the quickest pass over the last rows, by format."""
    found = dict.fromkeys(sequences, float("inf"))
    for _ in range(n_times):
        for name, sequence in sequences.items():
            n = len(sequence)
            begin = time.perf_counter()
            sequence.encode(np.arange(n - n_rows, n), 1)
            found[name] = min(found[name], (time.perf_counter() - begin) * 1000)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path(".work/qwen05b"))
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--times", type=int, default=4)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    made = {name: context(options.model, name, options.tokens) for name in FORMATS}
    sequences = {name: sequence for name, (sequence, _) in made.items()}
    rows: dict[int, dict[str, float]] = {}
    for n_rows in ROWS:
        rows[n_rows] = measured(sequences, n_rows, options.times if n_rows < 64 else 2)
        print(
            f"{n_rows:4} rows",
            {name: round(ms, 1) for name, ms in rows[n_rows].items()},
            flush=True,
        )
    found = {
        "machine": edits.machine(),
        "commit": edits.commit(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "has_bfloat16": cpu.has_bfloat16(),
        "context": options.tokens,
        "few_rows": {name: few_rows for name, (_, few_rows) in made.items()},
        "ms_by_rows": rows,
    }
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
