"""Times the kernels: bytes they must move over the time they took, as a share of the measured copy bandwidth.

`python lab/benchmarks/kernels.py` runs the kernels' tests first and prints nothing over a failed test. On a GPU the
Triton kernels run, and device, commit and date are recorded where the engine looks for them before it uses them;
`--device cpu` times the references in torch, which run on a CPU. A GPU's times exclude the launches by the CPU, which
overlap with other work, and start with an empty cache.

This file is longer than 300 lines because one benchmark is one file.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from warmline_kernels import choose, nibbles, reference
from warmline_kernels.choose import Kernels
from warmline_kernels.native.blocks import GROUP
from warmline_kernels.verified import MODULES, VERIFIED
from warmline_kernels.view import AttentionMetadata, cos_sin
from warmline_protocol import processes

GATE = ("tests/kernels", "tests/engine/cache")  # all tests that run on a GPU where there is one
ROOT = Path(__file__).resolve().parent.parent.parent
N_RUNS, N_WARM_UP = 20, 3
COPIED_BYTES = 256 * 2**20
N_LAYERS, N_HEADS, N_KV_HEADS, HEAD_SIZE = 24, 14, 2, 64  # of Qwen2.5-Coder-0.5B
WIDTH, MLP_WIDTH, N_VOCABULARY = 896, 4864, 151_936
N_READ, N_DECODED = 2000, 64  # tokens

REFERENCE = cast(Kernels, reference)


@dataclass(frozen=True)
class Row:
    """Bandwidth in GB/s; `share` is of the copy bandwidth."""

    kernel: str
    milliseconds: float
    reference_milliseconds: float
    bandwidth: float
    share: float


class Clock:
    """Medians over runs, warm-up dropped."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._other = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)

    def milliseconds(self, work: Callable[[], object]) -> float:
        times = [self._once(work) for _ in range(N_WARM_UP + N_RUNS)]
        return statistics.median(times[N_WARM_UP:])

    def _once(self, work: Callable[[], object]) -> float:
        if self._device.type == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            for _ in range(4):  # keeps the GPU busy until all is launched, and empties its cache
                self._other.zero_()
            begin.record()
            work()
            end.record()
            torch.cuda.synchronize()
            return begin.elapsed_time(end)
        start = time.perf_counter()
        work()
        return (time.perf_counter() - start) * 1000


def copy_bandwidth(clock: Clock, device: torch.device) -> float:
    """GB/s of a plain copy, read and written bytes counted."""
    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return 2 * COPIED_BYTES / clock.milliseconds(lambda: target.copy_(source)) / 1e6


def make_view(
    n_queries: int, n_slots: int, n_offsets: int, device: torch.device
) -> AttentionMetadata:
    """The last positions look at slots in random order, whose keys were rotated for n_offsets shifts."""
    random = torch.Generator().manual_seed(n_slots)
    positions = torch.randperm(n_slots, generator=random)
    offsets = torch.randint(0, n_offsets, (n_slots,), generator=random)
    return AttentionMetadata(
        query_positions=torch.arange(n_slots - n_queries, n_slots, device=device),
        key_positions=positions.to(device),
        rotated_at=(positions - offsets).to(device),
        inverse_frequencies=(1e6 ** (-torch.arange(0, HEAD_SIZE, 2) / HEAD_SIZE)).to(device),
        attention_factor=1.0,
        scale=HEAD_SIZE**-0.5,
    )


class Table:
    """Kernels beside their references, a row printed as soon as it is measured."""

    def __init__(self, kernels: Kernels, device: torch.device, dtype: torch.dtype) -> None:
        self._kernels, self.device, self.dtype = kernels, device, dtype
        self._clock = Clock(device)
        self.rows: list[Row] = []
        self.copied = copy_bandwidth(self._clock, device)
        print(f"copy: {self.copied:.0f} GB/s", flush=True)

    def drawn(self, *shape: int) -> Tensor:
        return torch.randn(shape, device=self.device).to(self.dtype)

    def add(self, name: str, n_bytes: int, work: Callable[[Kernels], object]) -> None:
        milliseconds = self._clock.milliseconds(lambda: work(self._kernels))
        expected = milliseconds
        if self._kernels is not REFERENCE:
            expected = self._clock.milliseconds(lambda: work(REFERENCE))
        bandwidth = n_bytes / milliseconds / 1e6
        self.rows.append(Row(name, milliseconds, expected, bandwidth, bandwidth / self.copied))
        print(
            f"{name:44} {milliseconds:9.3f} ms, the reference {expected:9.3f} ms"
            f" {bandwidth:8.1f} GB/s {bandwidth / self.copied:6.1%} of copy",
            flush=True,
        )


def measure_attention(table: Table) -> None:
    for n_slots in (1000, 8000, 16000):
        keys, values = (table.drawn(N_KV_HEADS, n_slots, HEAD_SIZE) for _ in range(2))
        n_bytes = keys.nbytes + values.nbytes
        for n_queries, n_offsets in ((1, 1), (1, 2), (9, 2), (256, 1)):
            queries = table.drawn(n_queries, N_HEADS, HEAD_SIZE)
            view = make_view(n_queries, n_slots, n_offsets, table.device)

            def attend(kernels: Kernels) -> object:
                return kernels.attention(queries, keys, values, view)  # noqa: B023 - timed at once

            name = f"attention, {n_queries} queries, {n_slots} slots, {n_offsets} offsets"
            table.add(name, n_bytes, attend)


def measure_cache(table: Table) -> None:
    device = table.device
    frequencies = (1e6 ** (-torch.arange(0, HEAD_SIZE, 2) / HEAD_SIZE)).to(device)
    for n_slots in (1000, 8000):
        stored = table.drawn(N_LAYERS, N_KV_HEADS, n_slots, HEAD_SIZE)
        rotated = torch.zeros_like(stored)
        slots = torch.randperm(n_slots, device=device)
        cos, sin = cos_sin(torch.arange(n_slots, device=device), frequencies, 1.0)

        def rotate(kernels: Kernels) -> None:
            kernels.rotate(stored, rotated, slots, cos, sin)  # noqa: B023 - timed at once

        table.add(f"rotate, {n_slots} slots, {N_LAYERS} layers", 2 * stored.nbytes, rotate)
    layer = tuple(torch.zeros_like(table.drawn(N_KV_HEADS, 8000, HEAD_SIZE)) for _ in range(3))
    for n_tokens in (1, 256):
        keys, values = (table.drawn(n_tokens, N_KV_HEADS, HEAD_SIZE) for _ in range(2))
        slots = torch.randperm(8000, device=device)[:n_tokens]
        cos, sin = cos_sin(torch.arange(n_tokens, device=device)[:, None], frequencies, 1.0)

        def write_kv(kernels: Kernels) -> None:
            unrotated, rotated, values_there = layer
            rows = unrotated, rotated, values_there
            kernels.write_kv(keys, values, slots, cos, sin, rows)  # noqa: B023 - timed at once

        table.add(f"store, {n_tokens} tokens", 5 * keys.nbytes, write_kv)


def measure_rows(table: Table) -> None:
    for n_tokens in (1, 256):
        joined = table.drawn(n_tokens, 2 * MLP_WIDTH)
        x, added, weight = (
            table.drawn(n_tokens, WIDTH),
            table.drawn(n_tokens, WIDTH),
            table.drawn(WIDTH),
        )

        def gate(kernels: Kernels) -> object:
            return kernels.swiglu(joined)  # noqa: B023 - timed at once

        def norm(kernels: Kernels) -> object:
            return kernels.add_rms_norm(x, added, 1.0, weight, 1e-6)  # noqa: B023 - timed at once

        table.add(f"gate, {n_tokens} tokens", joined.nbytes * 3 // 2, gate)
        table.add(f"sum and norm, {n_tokens} tokens", 4 * x.nbytes, norm)


def measure_products(table: Table) -> None:
    parts = {
        "up": (2 * MLP_WIDTH, WIDTH),
        "down": (WIDTH, MLP_WIDTH),
        "head": (N_VOCABULARY, WIDTH),
    }
    for part, (n_out, n_in) in parts.items():
        codes = torch.randint(0, 16, (n_out, n_in), device=table.device, dtype=torch.int8)
        scales, zeros = table.drawn(n_out, n_in // GROUP), table.drawn(n_out, n_in // GROUP)
        eight = codes, scales[:, 0].float()
        four = nibbles.packed(codes), scales, zeros
        for n_tokens in (1, 9):
            x = table.drawn(n_tokens, n_in)

            def of_8_bits(kernels: Kernels) -> object:
                return kernels.int8_matmul(x, *eight)  # noqa: B023 - timed at once

            def of_4_bits(kernels: Kernels) -> object:
                return kernels.int4_matmul(x, *four)  # noqa: B023 - timed at once

            for bits, weights, work in ((8, eight, of_8_bits), (4, four, of_4_bits)):
                n_bytes = sum(one.nbytes for one in weights)
                table.add(f"{part} in {bits} bits, {n_tokens} tokens", n_bytes, work)


def measure_logits(table: Table) -> None:
    logits, negative_logits = (table.drawn(N_VOCABULARY).float() for _ in range(2))
    numbers = reference.statistics(logits), reference.statistics(negative_logits)

    def contrast(kernels: Kernels) -> object:
        return kernels.contrasted(logits, negative_logits, *numbers, True, 0.3, 0.1)

    table.add("statistics", logits.nbytes, lambda kernels: kernels.statistics(logits))
    table.add("contrast", 3 * logits.nbytes, contrast)


def measure(kernels: Kernels, device: torch.device, dtype: torch.dtype) -> Table:
    """All kernels at the sizes that editing a file makes."""
    table = Table(kernels, device, dtype)
    measure_attention(table)
    measure_cache(table)
    measure_rows(table)
    measure_logits(table)
    if device.type == "cuda":  # a CPU has products of its own, not the references
        measure_products(table)
    return table


@dataclass(frozen=True)
class Decoding:
    """Milliseconds a token, behind N_READ others: as passes go without graphs, and with."""

    model: str
    weights: str  # their format
    without_graphs_ms: float
    with_graphs_ms: float
    floor_ms: float  # what its weights take at the copy bandwidth


def measure_decoding(name: str, folder: Path, copied: float, decode_format: str = "") -> Decoding:
    """Greedy decoding on the GPU, token after token as the engine does it."""
    from warmline_engine.cache.arena import Arena, RowShape
    from warmline_engine.cache.cuda_graphs import graphs_for
    from warmline_engine.cache.pass_runner import PassRunner
    from warmline_engine.cache.sequence import KVSequence
    from warmline_engine.model import checkpoint
    from warmline_kernels.choose import kernels_for

    device = torch.device("cuda")
    model = checkpoint.load(folder, device, torch.bfloat16, decode_format=decode_format)
    config = model.config
    shape = RowShape(config.n_layers, config.n_kv_heads, config.head_size, torch.bfloat16, device)
    kernels, times = kernels_for(device), list[float]()
    graphs = graphs_for(model, kernels)
    assert graphs is not None, "the kernels are verified"
    for used in (None, graphs):
        sequence = KVSequence(model, Arena(shape, 2**30), PassRunner(model, kernels, used))
        sequence.splice(0, 0, [k % 500 + 100 for k in range(N_READ)])
        while sequence.encode_pending(512):
            pass
        token, each = int(sequence.next_logits().argmax()), list[float]()
        for _ in range(N_WARM_UP + N_DECODED):
            begin = time.perf_counter()
            token = int(sequence.append(token).argmax())
            each.append((time.perf_counter() - begin) * 1000)
        # the median: a kernel that is compiled for another size takes a second once
        times.append(statistics.median(each[N_WARM_UP:]))
    # a copy reads and writes each byte that is counted; weights are read only
    n_bytes = {"": 2.0, "int8": 1.0, "int4": 0.5}[decode_format] * model.n_weights
    found = Decoding(name, decode_format or "bf16", times[0], times[1], n_bytes / copied / 1e6)
    print(
        f"a token of {name} in {found.weights}: {found.with_graphs_ms:.2f} ms,"
        f" {found.without_graphs_ms:.2f} without graphs;"
        f" reading its weights at the bandwidth of a copy takes {found.floor_ms:.2f}",
        flush=True,
    )
    return found


def measure_all_decoding(copied: float) -> list[Decoding]:
    """The embedded models, and one of half a billion random weights."""
    from warmline_engine.model import random_checkpoint
    from warmline_engine.model.hub.sources import EMBEDDED

    large = "qwen2.5-coder-0.5b"
    found = [measure_decoding(name, EMBEDDED / name, copied) for name in ("small", "base")]
    with tempfile.TemporaryDirectory() as folder:
        shape = random_checkpoint.SHAPES[large]
        random_checkpoint.write(shape, Path(folder), std=0.03, dtype=torch.bfloat16)
        formats = ("", "int8", "int4")
        return [
            *found,
            *(
                measure_decoding(large, Path(folder), copied, decode_format)
                for decode_format in formats
            ),
        ]


def checked_out() -> str:
    """The commit of this checkout."""
    try:
        found = processes.run(
            ["git", "rev-parse", "--short", "HEAD"], folder=ROOT, capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"git does not tell the commit: give --commit ({error})") from None
    return found.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--commit", help="what is recorded; git is asked without")
    parser.add_argument(
        "--places", type=int, default=500, help="of edits measured last; 0 measures none"
    )
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit(
            "no GPU here: nothing was checked (--device cpu times the references in torch)"
        )
    # asked first: where git cannot tell, nothing should have run in vain
    commit = (options.commit or checked_out()) if options.device == "cuda" else ""
    # side by side where that is installed; a plug-in that would warn about it is left out
    several = ["-n", "auto", "-p", "no:benchmark"] if importlib.util.find_spec("xdist") else []
    if processes.call(processes.python("-m", "pytest", "-q", *several, *GATE), folder=ROOT):
        raise SystemExit("the kernels' tests failed: no times")
    device = torch.device(options.device)
    if device.type == "cpu":
        measure(REFERENCE, device, torch.bfloat16)
        return
    ours = choose.of_triton(frozenset(MODULES))
    table = measure(ours, device, torch.bfloat16)
    record = {
        "device": torch.cuda.get_device_name(),
        "commit": commit,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "kernels": list(MODULES),
        "rows": [asdict(row) for row in table.rows],
    }
    VERIFIED.write_text(json.dumps(record, indent=1) + "\n")
    # of kernels that are verified by now, since no others are used
    record["decoding"] = [asdict(found) for found in measure_all_decoding(table.copied)]
    VERIFIED.write_text(json.dumps(record, indent=1) + "\n")
    if options.places == 0:
        return
    out = ROOT / "lab/benchmarks/results/edits-gpu.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    bench = processes.python("-m", "benchmarks.edits", "edits", "--device", "cuda")
    bench += ["--places", str(options.places), "--out", str(out)]
    if status := processes.call(bench, folder=ROOT):
        raise SystemExit(status)


if __name__ == "__main__":
    main()
