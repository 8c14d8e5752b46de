"""What one pass of a model costs by its number of rows, with 8-bit weights and without: `make bench-passes`.

By turns in one process, behind the same context. On a CPU without bf16 instructions passes of many rows are made in
float32; `emulated` is what they would cost in torch's own bf16.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from warmline_engine import bench
from warmline_engine.cache.arena import Arena, RowShape
from warmline_engine.cache.sequence import Sequence
from warmline_engine.model import checkpoint, linear
from warmline_kernels import cpu, reference

ROWS = (1, 2, 4, 8, 16, 64, 256)
FORMATS = ("as served", "without 8 bits", "emulated")


def measured(sequence: Sequence, n_rows: int, n_times: int) -> dict[str, float]:
    """Milliseconds of the quickest pass over the last rows, by format."""
    n, found = len(sequence), {str(name): float("inf") for name in FORMATS}
    few, is_emulated = linear._few_rows, cpu.is_emulated
    for k in range(n_times * len(FORMATS)):
        name = FORMATS[k % len(FORMATS)]
        linear._few_rows = few if name == FORMATS[0] else lambda: 0
        told = is_emulated if name != FORMATS[2] else lambda numbers: False
        linear.is_emulated = reference.is_emulated = told
        begin = time.perf_counter()
        sequence.encode(np.arange(n - n_rows, n), 1)
        found[name] = min(found[name], (time.perf_counter() - begin) * 1000)
    linear._few_rows, linear.is_emulated, reference.is_emulated = few, is_emulated, is_emulated
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path(".work/qwen05b"))
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--times", type=int, default=4)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    config = checkpoint.read_config(options.model)
    model = checkpoint.load(options.model, dtype=torch.bfloat16, has_int8=True)
    shape = RowShape(
        config.n_layers, config.n_kv_heads, config.head_size, torch.bfloat16, torch.device("cpu")
    )
    sequence = Sequence(model, Arena(shape, 4 << 30))
    ids = np.random.default_rng(0).integers(0, config.n_vocabulary, options.tokens)
    sequence.splice(0, 0, ids.tolist())
    while sequence.encode_pending(512):
        pass
    rows: dict[int, dict[str, float]] = {}
    for n_rows in ROWS:
        rows[n_rows] = measured(sequence, n_rows, options.times if n_rows < 64 else 2)
        print(
            f"{n_rows:4} rows",
            {name: round(ms, 1) for name, ms in rows[n_rows].items()},
            flush=True,
        )
    found = {
        "machine": bench.machine(),
        "commit": bench.commit(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "has_bfloat16": cpu.has_bfloat16(),
        "context": options.tokens,
        "ms_by_rows": rows,
    }
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
